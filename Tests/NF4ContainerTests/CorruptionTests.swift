import Checkpoints
import LosslessJSON
import SampleModels
import SystemPackage
import Tensors
import TestSupport
import Testing

/// Ten thousand damaged files: each is refused, or reported by `verify`, or still says what it said.
@Suite struct CorruptionTests {
    /// Everything that a container tells.
    struct Content: Equatable {
        var tensors: [LogicalTensor] = []
        var metadata: [String: String] = [:]
        var adapters: [NF4ContainerAdapter] = []
        var sideFiles: [String] = []
        var bytes: [[UInt8]] = []
    }

    /// Reads a whole container; `nil` when it is refused at any point.
    static func content(_ path: FilePath) throws -> Content? {
        do {
            let reader = try NF4ContainerReader(path: path)
            guard try reader.verify().isEmpty else { return nil }
            var content = Content(
                tensors: reader.tensors, metadata: reader.metadata, adapters: reader.adapters,
                sideFiles: reader.sideFiles)
            for tensor in reader.tensors.indices {
                let data = try reader.data(ofTensor: tensor)
                content.bytes += TensorPart.allCases.map { data[$0] ?? [] }
            }
            for adapter in reader.adapters.indices {
                let checkpoint = reader.checkpoint(ofAdapter: adapter)
                for tensor in checkpoint.tensors.indices {
                    content.bytes.append(try checkpoint.data(ofTensor: tensor)[.values] ?? [])
                }
            }
            for name in reader.sideFiles { content.bytes.append(try reader.sideFile(name) ?? []) }
            content.bytes.append(Array((try reader.provenance()?.serialized() ?? "").utf8))
            return content
        } catch is CheckpointError {
            return nil
        }
    }

    static func sample(_ path: FilePath, _ compression: NF4ContainerWriter.Compression) throws -> [UInt8] {
        var generator = SeededGenerator(seed: 17)
        var model = SampleModel()
        model.add(SampleModel.quantized("layers.0.q_proj.weight", [9, 64]), &generator)
        model.add(SampleModel.quantized("layers.0.v_proj.weight", [5, 33]), &generator)
        model.add(SampleModel.quantized("layers.0.o_proj.weight", [7, 64], .fp4, double: false), &generator)
        model.add(SampleModel.dense("norm.weight", [64], .bf16), &generator)
        model.add(SampleModel.dense("scale", [], .f32), &generator)
        model.add(SampleModel.dense("nothing", [0], .f6e3m2), &generator)
        model.metadata = ["format": "pt"]
        model.sideFiles = [SideFile(name: "config.json", content: .bytes(Array("{\"a\": 1, \"b\": 1, \"c\": 1}".utf8)))]
        model.addAdapter("a", &generator)
        let writer = try model.writer(path, compression)
        writer.setProvenance(["seed": 1])
        for piece in model.pieces(size: 1 << 20) { try model.write(piece, with: writer) }
        try writer.commit()
        return try contents(path)
    }

    @Test(arguments: 0..<10)
    func randomDamageIsDetectedOrHarmless(round: Int) throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("damaged.nf4")
        let original = try CorruptionTests.sample(directory.file("sound.nf4"), round < 8 ? .zlib : .none)
        let expected = try #require(try CorruptionTests.content(directory.file("sound.nf4")))
        var generator = SeededGenerator(seed: UInt64(round))
        for _ in 0..<1000 {
            let damaged = original.damaged(&generator)
            try write(damaged, to: path)
            if let content = try CorruptionTests.content(path) { #expect(content == expected) }
        }
    }

    /// Sizes and counts edited by somebody who mends the checksums: such a file may be valid, but reading it never
    /// crashes.
    @Test(arguments: 0..<4)
    func editedHeadersAndIndexesNeverCrash(round: Int) throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("edited.nf4")
        let original = try CorruptionTests.sample(directory.file("sound.nf4"), round < 3 ? .zlib : .none)
        let parts = try SealedBytes(original, as: NF4ContainerFormat.sealed)
        var generator = SeededGenerator(seed: 100 + UInt64(round))
        var refused = 0
        for _ in 0..<500 {
            var edited = parts
            if generator.below(4) == 0 {
                try write(edited.assembled { $0.edit(&generator) }, to: path)
            } else {
                edited.editIndex(&generator)
                try write(edited.assembled(), to: path)
            }
            if try CorruptionTests.content(path) == nil { refused += 1 }
        }
        #expect(refused > 400)
    }
}
