import Checkpoints
import Foundation
import SystemPackage
import Tensors
import TestSupport
import Testing

@Suite struct PyTorchCheckpointTests {
    @Test func thereAreFixtures() {
        #expect(PickleFixtures.good.count == 18)
        #expect(PickleFixtures.corpus.count == 286)
    }

    /// Every tensor under its name, with the dtype, shape and bytes that safetensors wrote for it.
    @Test(arguments: PickleFixtures.good)
    func tensorsAreThoseOfTorch(_ good: PickleFixtures.Good) throws {
        let checkpoint = try WeightsCheckpoint(path: FilePath(good.file.path))
        let expected = try WeightsCheckpoint(path: FilePath(good.expected.path))
        #expect(Set(checkpoint.tensors) == Set(expected.tensors))
        #expect(checkpoint.tensors.count == expected.tensors.count)
        for (index, tensor) in checkpoint.tensors.enumerated() {
            let other = try #require(expected.tensors.firstIndex(of: tensor))
            #expect(try values(checkpoint, index) == values(expected, other), "\(tensor.name)")
        }
    }

    /// Any range of bytes, also one that starts or ends inside an element.
    @Test(arguments: ["views-zip", "views-legacy", "views-deflated"])
    func rangesArePartsOfTheWhole(name: String) throws {
        let checkpoint = try WeightsCheckpoint(path: file(name))
        var generator = SeededGenerator(seed: 7)
        for (index, tensor) in checkpoint.tensors.enumerated() {
            let whole = try values(checkpoint, index)
            for _ in 0..<20 {
                let bounds = [0, 0].map { _ in Int.random(in: 0...whole.count, using: &generator) }.sorted()
                var part = [UInt8](repeating: 0, count: bounds[1] - bounds[0])
                try part.withUnsafeMutableBytes {
                    try checkpoint.read(.values, ofTensor: index, at: bounds[0], into: $0)
                }
                #expect(part == Array(whole[bounds[0]..<bounds[1]]), "\(tensor.name) \(bounds)")
            }
            #expect(throws: CheckpointError.self) {
                var byte: UInt8 = 0
                try withUnsafeMutableBytes(of: &byte) {
                    try checkpoint.read(.values, ofTensor: index, at: whole.count, into: $0)
                }
            }
        }
    }

    /// Every hostile or broken file is refused with a message that names the file and what is wrong.
    @Test(arguments: PickleFixtures.corpus)
    func theCorpusIsRefused(_ hostile: PickleFixtures.Hostile) throws {
        try withTemporaryDirectory { directory in
            let path = directory.appending("hostile.bin")
            try write(hostile.bytes, to: path)
            let error = #expect(throws: (any Error).self) { try readAll(path) }
            let text = "\(try #require(error))"
            #expect(text.hasPrefix("\(path): "))
            for needle in hostile.needles { #expect(text.contains(needle), "\(text)") }
        }
    }

    /// A record that is small in the file and large out of it.
    @Test func aPickleThatInflatesTooFarIsRefused() throws {
        let vast = [UInt8](repeating: 0, count: 80 << 20)
        let packed = try #require(vast.withUnsafeBytes { Zlib.deflate($0) })
        let name = Array("archive/data.pkl".utf8)
        let facts = field(0, 4) + field(packed.count, 4) + field(vast.count, 4) + field(name.count, 2) + field(0, 2)
        let local = field(0x0403_4B50, 4) + field(20, 2) + field(0, 2) + field(8, 2) + field(0, 4) + facts + name
        let central =
            field(0x0201_4B50, 4) + field(20, 4) + field(0, 2) + field(8, 2) + field(0, 4) + facts
            + [UInt8](repeating: 0, count: 14) + name
        let end =
            field(0x0605_4B50, 4) + field(0, 4) + field(1, 2) + field(1, 2) + field(central.count, 4)
            + field(local.count + packed.count, 4) + field(0, 2)
        try withTemporaryDirectory { directory in
            let path = directory.appending("bomb.bin")
            try write(local + packed + central + end, to: path)
            let error = #expect(throws: CheckpointError.self) { try WeightsCheckpoint(path: path) }
            #expect(error?.description.contains("more than the 67108864 that are read") == true)
        }
    }

    /// A large dictionary that many instructions look through costs as much as many dictionaries.
    @Test func whatIsLookedThroughAgainCountsAgain() throws {
        // Memo 1 is the dictionary, 2 its only key.
        let start = "ccollections\nOrderedDict\n)R}q\u{1}X\u{9}\0\0\0_metadataq\u{2}Ns("
        func pickle(members: Int, uses: Int) -> [UInt8] {
            let members = String(repeating: "h\u{2}N", count: members)
            let uses = String(repeating: "h\u{1}b", count: uses)
            return [0x80, 2] + Array((start + members + "ub" + uses + ".").utf8)
        }
        try withTemporaryDirectory { directory in
            let path = directory.appending("again.bin")
            try write(archive(pickle(members: 10, uses: 10)), to: path)
            #expect(try WeightsCheckpoint(path: path).tensors.isEmpty)
            try write(archive(pickle(members: 3000, uses: 3000)), to: path)
            let error = #expect(throws: CheckpointError.self) { try WeightsCheckpoint(path: path) }
            #expect(error?.description.contains("2097152") == true, "\(String(describing: error))")
        }
    }

    /// A deflated member that claims to have as many bytes as a number holds, in the file and out of it.
    @Test func aMemberOfImpossibleSizeIsRefused() throws {
        let name = Array("archive/data.pkl".utf8)
        let facts = field(8, 2) + field(0, 8) + field(0xFFFF_FFFF, 4) + field(0xFFFF_FFFF, 4) + field(name.count, 2)
        let local = field(0x0403_4B50, 4) + field(45, 2) + field(0, 2) + facts + field(0, 2) + name + [3, 0]
        let central =
            field(0x0201_4B50, 4) + field(45, 4) + field(0, 2) + facts + field(20, 2)
            + [UInt8](repeating: 0, count: 14) + name + field(1, 2) + field(16, 2) + field(.max, 8) + field(.max, 8)
        let end =
            field(0x0605_4B50, 4) + field(0, 4) + field(1, 2) + field(1, 2) + field(central.count, 4)
            + field(local.count, 4) + field(0, 2)
        try withTemporaryDirectory { directory in
            let path = directory.appending("vast.bin")
            try write(local + central + end, to: path)
            let error = #expect(throws: CheckpointError.self) { try WeightsCheckpoint(path: path) }
            #expect(error?.description.contains("lies outside the file") == true, "\(String(describing: error))")
        }
    }

    /// Damaged files are refused, or still read; nothing crashes, and only errors about the file come out.
    @Test(arguments: PickleFixtures.good)
    func randomDamageNeverCrashes(_ good: PickleFixtures.Good) throws {
        let original = try contents(FilePath(good.file.path))
        var generator = SeededGenerator(seed: UInt64(original.count))
        try withTemporaryDirectory { directory in
            let path = directory.appending("damaged.bin")
            for _ in 0..<300 {
                try write(damaged(original, &generator), to: path)
                do {
                    try readAll(path)
                } catch let error as CheckpointError {
                    #expect("\(error)".hasPrefix("\(path): "))
                }
            }
        }
    }

    @Test func directoriesAndShardsAreOpened() throws {
        try withTemporaryDirectory { directory in
            let views = try contents(file("views-zip"))
            try write(views, to: directory.appending("pytorch_model.bin"))
            try write(Array("{\"model_type\": \"llama\"}".utf8), to: directory.appending("config.json"))
            let expected = try WeightsCheckpoint(path: file("views-zip")).tensors
            #expect(try ModelDirectory(path: directory).reader.tensors == expected)
            #expect(try ModelDirectory(path: directory.appending("pytorch_model.bin")).reader.tensors == expected)
            // As transformers does, safetensors come first.
            let other = safetensors(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, data: [1])
            try write(other, to: directory.appending("model.safetensors"))
            #expect(try ModelDirectory(path: directory).reader.tensors.map(\.name) == ["a"])
        }
        try withTemporaryDirectory { directory in
            try write(contents(file("views-zip")), to: directory.appending("a.bin"))
            try write(contents(file("python2-legacy")), to: directory.appending("b.bin"))
            let names = try WeightsCheckpoint(path: file("views-zip")).tensors.map(\.name)
            let map = names.map { "\"\($0)\": \"a.bin\"" } + ["\"weight\": \"b.bin\""]
            let index = directory.appending("pytorch_model.bin.index.json")
            try write(Array("{\"weight_map\": {\(map.joined(separator: ", "))}}".utf8), to: index)
            let model = try ModelDirectory(path: directory)
            #expect(model.reader.tensors.map(\.name) == names + ["weight"])
            #expect(model.reader.files.count == 3)
            try write(Array("{\"weight_map\": {\"weight\": \"b.bin\", \"other\": \"b.bin\"}}".utf8), to: index)
            #expect(throws: CheckpointError.self) { try ModelDirectory(path: index) }
        }
    }

    private func field(_ value: Int, _ width: Int) -> [UInt8] {
        (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    /// An archive with a pickle and nothing else, without checksums.
    private func archive(_ pickle: [UInt8]) -> [UInt8] {
        let name = Array("archive/data.pkl".utf8)
        let facts =
            field(0, 10) + field(pickle.count, 4) + field(pickle.count, 4) + field(name.count, 2) + field(0, 2)
        let local = field(0x0403_4B50, 4) + field(20, 4) + facts + name + pickle
        let central = field(0x0201_4B50, 4) + field(20, 6) + facts + [UInt8](repeating: 0, count: 14) + name
        return local + central + field(0x0605_4B50, 4) + field(0, 4) + field(1, 2) + field(1, 2)
            + field(central.count, 4) + field(local.count, 4) + field(0, 2)
    }

    private func file(_ name: String) -> FilePath {
        FilePath(PickleFixtures.directory.appendingPathComponent("good/\(name).bin").path)
    }

    private func values(_ reader: any CheckpointReader, _ index: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: reader.tensors[index].byteCount(of: .values))
        try bytes.withUnsafeMutableBytes { try reader.read(.values, ofTensor: index, at: 0, into: $0) }
        return bytes
    }

    private func readAll(_ path: FilePath) throws {
        let checkpoint = try WeightsCheckpoint(path: path)
        for index in checkpoint.tensors.indices { _ = try values(checkpoint, index) }
    }

    private func damaged(_ original: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = original
        for _ in 0...Int.random(in: 0..<4, using: &generator) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &generator)
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
            case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 2: bytes.removeSubrange(place...)
            case 3: bytes.remove(at: place)
            case 4: bytes.insert(contentsOf: generator.bytes(3), at: place)
            default:
                for offset in place..<min(place + 8, bytes.count) { bytes[offset] = 0xFF }
            }
        }
        return bytes
    }
}
