import Checkpoints
import LosslessJSON
import SampleModels
import SystemPackage
import Tensors
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
            let damaged = damage(original, &generator)
            try write(damaged, to: path)
            if let content = try CorruptionTests.content(path) { #expect(content == expected) }
        }
    }

    private func damage(_ original: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = original
        func range(_ generator: inout SeededGenerator) -> Range<Int> {
            let start = generator.below(bytes.count)
            return start..<min(bytes.count, start + generator.below(200) + 1)
        }
        switch generator.below(8) {
        case 0: bytes[generator.below(bytes.count)] ^= 1 << UInt8(generator.below(8))
        case 1: bytes[generator.below(64)] = UInt8(generator.below(256))
        case 2: bytes.removeLast(generator.below(bytes.count) + 1)
        case 3: bytes += generator.bytes(generator.below(100) + 1)
        case 4: bytes.removeSubrange(range(&generator))
        case 5: bytes.insert(contentsOf: original[range(&generator)], at: generator.below(bytes.count))
        case 6:
            let source = range(&generator)
            let start = generator.below(bytes.count - source.count + 1)
            bytes.replaceSubrange(start..<(start + source.count), with: original[source])
        default: for index in range(&generator) { bytes[index] = UInt8(generator.below(256)) }
        }
        return bytes
    }

    /// Sizes and counts edited by somebody who mends the checksums: such a file may be valid, but reading it never
    /// crashes.
    @Test(arguments: 0..<4)
    func editedHeadersAndIndexesNeverCrash(round: Int) throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("edited.nf4")
        let original = try CorruptionTests.sample(directory.file("sound.nf4"), round < 3 ? .zlib : .none)
        let parts = try ContainerBytes(original)
        var generator = SeededGenerator(seed: 100 + UInt64(round))
        var refused = 0
        for _ in 0..<500 {
            var edited = parts
            if generator.below(4) == 0 {
                edited.editHeader(&generator)
            } else {
                for _ in 0...generator.below(3) {
                    let position = generator.below(edited.index.count)
                    switch generator.below(4) {
                    case 0: edited.index[position] = UInt8(generator.below(256))
                    case 1: edited.index[position] = 0xFF
                    case 2: edited.index.remove(at: position)
                    default: edited.index.insert(UInt8(generator.below(256)), at: position)
                    }
                }
            }
            try write(edited.assembled(), to: path)
            if try CorruptionTests.content(path) == nil { refused += 1 }
        }
        #expect(refused > 400)
    }
}

/// A container taken apart, to be put together again with checksums that fit.
struct ContainerBytes {
    var header: NF4ContainerHeader
    var data: [UInt8]
    /// Not compressed.
    var index: [UInt8]
    private var edited: ((inout NF4ContainerHeader) -> Void)?

    init(_ bytes: [UInt8]) throws {
        header = try NF4ContainerHeader(Array(bytes.prefix(64)), fileSize: bytes.count)
        data = Array(bytes[64..<Int(header.indexOffset)])
        index = [UInt8](repeating: 0, count: Int(header.indexSize))
        let stored = Array(bytes[Int(header.indexOffset)...])
        let isWhole = stored.withUnsafeBytes { stored in index.withUnsafeMutableBytes { Zlib.inflate(stored, into: $0) }
        }
        #expect(isWhole)
    }

    init(index: [UInt8], data: [UInt8] = []) {
        header = NF4ContainerHeader()
        self.data = data
        self.index = index
    }

    mutating func editHeader(_ generator: inout SeededGenerator) {
        let field = generator.below(7)
        let value = generator.below(2) == 0 ? generator.next() : UInt64(generator.below(5000))
        edited = { header in
            switch field {
            case 0: header.version = UInt32(truncatingIfNeeded: value)
            case 1: header.requiredFeatures = UInt32(truncatingIfNeeded: value)
            case 2: header.fileLength = value
            case 3: header.indexOffset = value
            case 4: header.indexStoredSize = value
            case 5: header.indexSize = value
            default:
                header.indexOffset &+= value
                header.indexStoredSize &-= value
            }
        }
    }

    func assembled() -> [UInt8] {
        let stored = index.withUnsafeBytes { Zlib.deflate($0) } ?? []
        var header = header
        header.indexOffset = UInt64(64 + data.count)
        header.indexStoredSize = UInt64(stored.count)
        header.indexSize = UInt64(index.count)
        header.indexChecksum = Zlib.crc32(stored)
        header.fileLength = UInt64(64 + data.count + stored.count)
        edited?(&header)
        return header.encoded() + data + stored
    }
}
