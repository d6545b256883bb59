import Checkpoints
import Foundation
import LosslessJSON
import SystemPackage
import Tensors
import Testing

@Suite struct ShardTests {
    @Test func piecesMayLieInAnyShard() throws {
        let checkpoint = try WeightsCheckpoint(path: Fixtures.path("scattered/model.safetensors.index.json"))
        #expect(
            Set(checkpoint.tensors.map { "\($0.name) \($0.encoding.label)" }) == [
                "model.norm.weight bf16", "model.layers.0.q_proj.weight nf4+dq", "model.layers.1.q_proj.weight nf4",
            ])
        #expect(checkpoint.files.count == 4)
        // Written again, the pieces of one weight lie together.
        try withTemporaryDirectory { directory throws in
            let destination = directory.appending("out")
            let writer = try SafetensorsCheckpointWriter(
                destination: destination, tensors: checkpoint.tensors, metadata: checkpoint.metadata,
                maximumShardSize: 1)
            try copy(checkpoint, to: writer)
            try writer.commit()
            let index = try JSONValue(parsing: contents(destination.appending("model.safetensors.index.json")))
            var shards: [String: Set<String>] = [:]
            for (name, shard) in try #require(index["weight_map"]?.object) {
                let weight = name.split(separator: ".weight")[0]
                shards[String(weight), default: []].insert(shard.string ?? "")
            }
            #expect(shards.count == 3 && shards.values.allSatisfy { $0.count == 1 })
            let again = try WeightsCheckpoint(path: destination.appending("model.safetensors.index.json"))
            #expect(Set(again.tensors) == Set(checkpoint.tensors))
        }
    }

    /// With the tensors in the order of the state dict, every file is the one that transformers wrote.
    @Test func shardsAreThoseOfTransformers() throws {
        let source = Fixtures.path("sharded")
        let checkpoint = try WeightsCheckpoint(path: source.appending("model.safetensors.index.json"))
        let stateDict = try #require(try JSONValue(parsing: contents(Fixtures.path("sharded-order.json"))).array)
        let order = try stateDict.map { name in
            let index = checkpoint.tensors.firstIndex { $0.name == name.string }
            return try #require(index)
        }
        try withTemporaryDirectory { directory throws in
            let destination = directory.appending("out")
            let writer = try SafetensorsCheckpointWriter(
                destination: destination, tensors: order.map { checkpoint.tensors[$0] }, metadata: checkpoint.metadata,
                maximumShardSize: try ByteSize(parsing: "3KB").bytes)
            try copy(checkpoint, to: writer, order: order)
            try writer.commit()
            let files = try names(in: destination)
            #expect(files.count == 5)
            for file in files {
                #expect(try contents(destination.appending(file)) == contents(source.appending(file)), "\(file)")
            }
        }
    }

    // MARK: Indices that lie

    /// The problem after a copy of the sharded fixture was spoilt.
    private func problem(_ spoil: (FilePath, inout JSONValue) throws -> Void) throws -> ShardIndexProblem? {
        try withTemporaryDirectory { directory throws in
            let copy = directory.appending("model")
            try FileManager.default.copyItem(atPath: Fixtures.path("sharded").string, toPath: copy.string)
            let path = copy.appending("model.safetensors.index.json")
            var index = try JSONValue(parsing: contents(path))
            try spoil(copy, &index)
            try write(index.serialized().utf8, to: path)
            do {
                _ = try WeightsCheckpoint(path: path)
                return nil
            } catch CheckpointError.invalidIndex(_, let problem) {
                #expect(!problem.description.isEmpty)
                return problem
            }
        }
    }

    private func shard(_ number: Int) -> String { "model-0000\(number)-of-00004.safetensors" }

    @Test func missingShardsAreNamed() throws {
        let found = try problem { directory, _ in
            try FileManager.default.removeItem(atPath: directory.appending(shard(2)).string)
            try FileManager.default.removeItem(atPath: directory.appending(shard(4)).string)
        }
        #expect(found == .missingShards([shard(2), shard(4)]))
    }

    @Test func tensorsInTheWrongPlaceAreNamed() throws {
        #expect(
            try problem { $1["weight_map"]?["model.norm.weight"] = .string(shard(1)) }
                == .tensorNotInShard(name: "model.norm.weight", shard: shard(1), foundIn: shard(4)))
        #expect(
            try problem { $1["weight_map"]?["extra"] = .string(shard(1)) }
                == .tensorNotInShard(name: "extra", shard: shard(1), foundIn: nil))
        #expect(
            try problem { $1["weight_map"]?["model.norm.weight"] = nil }
                == .tensorNotInIndex(name: "model.norm.weight", shard: shard(4)))
        let found = try problem { directory, index in
            let copy = "zz.safetensors"
            try FileManager.default.copyItem(
                atPath: directory.appending(shard(4)).string, toPath: directory.appending(copy).string)
            index["weight_map"]?["extra"] = .string(copy)
        }
        guard case .duplicateTensor(_, [shard(4), "zz.safetensors"]) = found else {
            Issue.record("\(String(describing: found))")
            return
        }
    }

    @Test(arguments: ["../model.safetensors", "/etc/passwd", "a/../../b.safetensors", "", ".", "..", "a\u{0}b"])
    func shardsStayInsideTheDirectory(name: String) throws {
        #expect(try problem { $1["weight_map"]?["x"] = .string(name) } == .escapes(shard: name))
    }

    @Test func malformedIndices() throws {
        #expect(try problem { $1["weight_map"] = nil } == .invalidWeightMap(found: "none"))
        #expect(try problem { $1["weight_map"] = [] } == .invalidWeightMap(found: "a list"))
        #expect(try problem { $1["weight_map"] = [:] } == .invalidWeightMap(found: "an empty object"))
        #expect(try problem { $1["weight_map"]?["x"] = 1 } == .invalidWeightMap(found: "a number"))
        // Nobody needs the metadata, and it may lie.
        #expect(try problem { $1["metadata"] = ["total_size": -1] } == nil)
    }
}
