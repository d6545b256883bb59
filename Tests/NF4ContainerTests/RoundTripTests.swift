import Checkpoints
import LosslessJSON
import SampleModels
import SystemPackage
import Tensors
import TestSupport
import Testing

@Suite struct RoundTripTests {
    @Test(arguments: NF4ContainerWriter.Compression.allCases, [1, 2, 3] as [UInt64])
    func everythingComesBack(compression: NF4ContainerWriter.Compression, seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(seed: seed)
        var model = SampleModel.varied(seed: seed)
        model.addAdapter("jargon", &generator)
        model.addAdapter("second", &generator)
        let path = directory.file("model.nf4")
        let writer = try model.writer(path, compression)
        for piece in model.pieces(size: 1000) { try model.write(piece, with: writer) }
        let provenance: JSONValue = ["qconv": "1.0", "inputs": [["sha256": "00"]]]
        writer.setProvenance(provenance)
        try writer.commit()

        let reader = try NF4ContainerReader(path: path)
        #expect(reader.tensors == model.tensors)
        #expect(reader.metadata == model.metadata)
        #expect(reader.adapters == model.adapters)
        #expect(reader.sideFiles == model.sideFiles.map(\.name.string))
        #expect(reader.isAligned == (compression == .none))
        #expect(try reader.provenance() == provenance)
        #expect(try reader.verify().isEmpty)
        for tensor in model.tensors.indices { #expect(try reader.data(ofTensor: tensor) == model.data[tensor]) }
        for (adapter, tensors) in model.adapterData.enumerated() {
            let checkpoint = reader.checkpoint(ofAdapter: adapter)
            #expect(checkpoint.tensors == model.adapters[adapter].tensors)
            for tensor in tensors.indices {
                #expect(try checkpoint.data(ofTensor: tensor) == [.values: tensors[tensor]])
            }
        }
        for file in model.sideFiles {
            guard case .bytes(let bytes) = file.content else { continue }
            #expect(try reader.sideFile(file.name.string) == bytes)
        }
        #expect(try reader.sideFile("no such file") == nil)
    }

    /// Tensors of several pieces, whose last is short, in both layouts.
    @Test(arguments: NF4ContainerWriter.Compression.allCases)
    func piecesComeBack(compression: NF4ContainerWriter.Compression) throws {
        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(seed: 5)
        var model = SampleModel()
        model.add(SampleModel.quantized("double", [513, 1001]), &generator)
        model.add(SampleModel.quantized("single", [300, 1001], .fp4, blocksize: 32, double: false), &generator)
        model.add(SampleModel.quantized("wide", [1100, 1001], blocksize: 4096), &generator)
        model.add(SampleModel.dense("dense", [300, 333], .bf16), &generator)
        let path = directory.file("model.nf4")
        try model.write(to: path, compression)
        let reader = try NF4ContainerReader(path: path)
        #expect(reader.chunkCount > model.tensors.count)
        #expect(try reader.verify().isEmpty)
        for tensor in model.tensors.indices { #expect(try reader.data(ofTensor: tensor) == model.data[tensor]) }
        // Random access gives the same bytes as reading everything.
        for _ in 0..<300 {
            let tensor = generator.below(model.tensors.count)
            let parts = model.tensors[tensor].parts
            let (part, byteCount) = parts[generator.below(parts.count)]
            let start = generator.below(byteCount + 1)
            let range = start..<(start + generator.below(min(byteCount - start, 100_000) + 1))
            let expected = (model.data[tensor][part] ?? [])[range]
            #expect(try reader.bytes(part, ofTensor: tensor, range) == Array(expected))
        }
    }

    /// The details that a bitsandbytes checkpoint needs to be written back byte for byte.
    @Test func storageDetailsComeBack() throws {
        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(seed: 6)
        var model = SampleModel()
        let standard = Array(
            #"{"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [6, 64], "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.046875}"#
                .utf8)
        let storages: [BitsAndBytesStorage?] = [
            nil, BitsAndBytesStorage(dtype: .u8, shape: [192, 1], quantState: standard),
            BitsAndBytesStorage(dtype: .u8, shape: [192, 1], quantState: Array("{ }".utf8)),
            BitsAndBytesStorage(dtype: .u8, shape: [192, 1], quantState: []),
            BitsAndBytesStorage(dtype: .bf16, shape: [96, 1], quantState: standard),
            BitsAndBytesStorage(dtype: .u8, shape: [1, 192]),
        ]
        for (number, storage) in storages.enumerated() {
            model.add(SampleModel.quantized("w\(number)", [6, 64], storage: storage), &generator)
        }
        var own = SampleModel.quantized("own", [6, 64])
        if case .blockQuantized(var quantization) = own.encoding {
            quantization.doubleQuantization = DoubleQuantization(
                blocksize: 512, offset: -Float.leastNonzeroMagnitude, codebook: (0..<256).map { Float($0) / 7 })
            own.encoding = .blockQuantized(quantization)
        }
        model.add(own, &generator)
        let path = directory.file("model.nf4")
        try model.write(to: path)
        let reader = try NF4ContainerReader(path: path)
        #expect(reader.tensors == model.tensors)
        // The standard quant state is made anew, not stored.
        #expect(reader.sizes.indexSize < 2400)
    }

    @Test func offsetsMayComeLate() throws {
        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(seed: 7)
        var model = SampleModel()
        model.add(SampleModel.quantized("w", [64, 64]), &generator)
        let complete = model.tensors
        if case .blockQuantized(var quantization) = model.tensors[0].encoding {
            quantization.doubleQuantization?.offset = nil
            model.tensors[0].encoding = .blockQuantized(quantization)
        }
        let path = directory.file("model.nf4")
        let writer = try model.writer(path)
        for piece in model.pieces(size: 100) { try model.write(piece, with: writer) }
        #expect(throws: CheckpointError.self) { try writer.commit() }
        #expect(throws: CheckpointError.self) { try writer.setDoubleQuantizationOffset(.nan, ofTensor: 0) }
        try writer.setDoubleQuantizationOffset(0.046_875, ofTensor: 0)
        try writer.commit()
        #expect(try NF4ContainerReader(path: path).tensors == complete)
    }

    /// Two names that only a byte comparison tells apart are two names.
    @Test func namesAreBytes() throws {
        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(seed: 8)
        var model = SampleModel()
        model.add(SampleModel.dense("caf\u{E9}", [2], .f32), &generator)
        model.add(SampleModel.dense("cafe\u{301}", [2], .f32), &generator)
        let path = directory.file("model.nf4")
        try model.write(to: path)
        let reader = try NF4ContainerReader(path: path)
        #expect(reader.tensors.map { Array($0.name.utf8) } == model.tensors.map { Array($0.name.utf8) })
    }

    @Test func anEmptyModel() throws {
        let directory = try TemporaryDirectory()
        try SampleModel().write(to: directory.file("model.nf4"))
        let reader = try NF4ContainerReader(path: directory.file("model.nf4"))
        #expect(reader.tensors.isEmpty && reader.sizes.bitsPerQuantizedWeight == nil)
        #expect(try reader.provenance() == nil)
    }

    @Test func readsOutsideATensorAreRefused() throws {
        let directory = try TemporaryDirectory()
        let model = SampleModel.varied(seed: 1)
        try model.write(to: directory.file("model.nf4"))
        let reader = try NF4ContainerReader(path: directory.file("model.nf4"))
        let size = model.tensors[0].byteCount(of: .codes)
        #expect(throws: CheckpointError.self) { try reader.bytes(.codes, ofTensor: 0, 0..<(size + 1)) }
        #expect(throws: CheckpointError.self) { try reader.bytes(.values, ofTensor: 0, 0..<1) }
    }

    /// Parts of an uncompressed container lie in one piece at multiples of 64.
    @Test func alignedPartsCanBeMapped() throws {
        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(seed: 9)
        var model = SampleModel()
        model.add(SampleModel.dense("small", [3], .u8), &generator)
        model.add(SampleModel.quantized("w", [513, 1001]), &generator)
        try model.write(to: directory.file("model.nf4"), .none)
        let file = try contents(directory.file("model.nf4"))
        for part in [TensorPart.codes, .absmax, .nestedAbsmax] {
            let bytes = try #require(model.data[1][part])
            let starts = stride(from: 64, to: file.count - bytes.count, by: 64)
            #expect(starts.contains { file[$0..<($0 + bytes.count)].elementsEqual(bytes) })
        }
    }
}
