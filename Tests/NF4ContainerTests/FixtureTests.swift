import Checkpoints
import Foundation
import Quantization
import SampleModels
import SystemPackage
import Tensors
import TestSupport
import Testing

/// A container in the repository, the bitsandbytes checkpoint that it was made from, and the values that bitsandbytes
/// decodes from that.
@Suite(.serialized) struct FixtureTests {
    static let directory = FilePath(#filePath).removingLastComponent().removingLastComponent()
        .appending("Fixtures/nf4-container")
    static let container = directory.appending("model.nf4")

    private let checkpoint: WeightsCheckpoint

    init() throws {
        checkpoint = try WeightsCheckpoint(path: FixtureTests.directory.appending("model.safetensors"))
        if ProcessInfo.processInfo.environment["QCONV_WRITE_FIXTURES"] != nil {
            try FixtureTests.convert(checkpoint, to: FixtureTests.container)
        }
    }

    private static func convert(_ checkpoint: some CheckpointReader, to path: FilePath) throws {
        var model = SampleModel()
        model.tensors = checkpoint.tensors
        model.metadata = checkpoint.metadata
        model.data = try checkpoint.tensors.indices.map { try checkpoint.data(ofTensor: $0) }
        try model.write(to: path, pieceSizeLog2: NF4ContainerFormat.standardPieceSizeLog2)
    }

    @Test func theContainerHoldsTheCheckpoint() throws {
        let reader = try NF4ContainerReader(path: FixtureTests.container)
        #expect(try reader.verify().isEmpty)
        #expect(reader.tensors == checkpoint.tensors)
        #expect(reader.metadata == checkpoint.metadata)
        for tensor in reader.tensors.indices {
            #expect(try reader.data(ofTensor: tensor) == checkpoint.data(ofTensor: tensor))
        }
    }

    /// bitsandbytes checkpoint, container, bitsandbytes checkpoint: the same file, byte for byte.
    @Test func theCheckpointComesBackByteForByte() throws {
        let directory = try TemporaryDirectory()
        let reader = try NF4ContainerReader(path: FixtureTests.container)
        let writer = try SafetensorsCheckpointWriter(
            destination: directory.file("model.safetensors"), tensors: reader.tensors, metadata: reader.metadata)
        for (number, tensor) in reader.tensors.enumerated() {
            for (part, bytes) in try reader.data(ofTensor: number) where tensor.byteCount(of: part) > 0 {
                try bytes.withUnsafeBytes { try writer.write($0, part: part, ofTensor: number, at: 0) }
            }
        }
        try writer.commit()
        #expect(
            try contents(directory.file("model.safetensors"))
                == contents(FixtureTests.directory.appending("model.safetensors")))
    }

    /// What the writer makes of the checkpoint today is what stands in the repository, whatever zlib made of the index.
    @Test func theContainerIsWhatWeWrite() throws {
        let directory = try TemporaryDirectory()
        try FixtureTests.convert(checkpoint, to: directory.file("model.nf4"))
        let written = try SealedBytes(contents(directory.file("model.nf4")), as: NF4ContainerFormat.sealed)
        let stored = try SealedBytes(contents(FixtureTests.container), as: NF4ContainerFormat.sealed)
        #expect(written.data == stored.data)
        #expect(written.index == stored.index)
    }

    @Test func theContainerDecodesAsBitsandbytesDoes() throws {
        let reader = try NF4ContainerReader(path: FixtureTests.container)
        var decoded: [UInt8] = []
        for tensor in reader.tensors.indices { decoded += try values(of: tensor, reader) }
        #expect(decoded == (try contents(FixtureTests.directory.appending("values.bin"))))
    }

    /// The reader that was written from the specification alone. Needs python3 with numpy, so it runs where they are.
    @Test(.enabled(if: FixtureTests.python != nil))
    func theIndependentReaderAgrees() throws {
        let directory = try TemporaryDirectory()
        let script = FilePath(#filePath).removingLastComponent().removingLastComponent()
            .appending("Interop/read_nf4_container.py")
        let output = directory.file("values.bin")
        let python = try #require(FixtureTests.python)
        #expect(try run(python, [script.string, FixtureTests.container.string, output.string]) == 0)
        #expect(try contents(output) == contents(FixtureTests.directory.appending("values.bin")))
        // And a container with everything else in it, in both layouts.
        var generator = SeededGenerator(seed: 21)
        var model = SampleModel.varied(seed: 21)
        model.add(SampleModel.quantized("large", [700, 1000]), &generator)
        model.addAdapter("adapter", &generator)
        for compression in NF4ContainerWriter.Compression.allCases {
            let path = directory.file("varied.nf4")
            try model.write(to: path, compression)
            #expect(try run(python, [script.string, path.string, output.string]) == 0)
            let reader = try NF4ContainerReader(path: path)
            var decoded: [UInt8] = []
            for tensor in reader.tensors.indices { decoded += try values(of: tensor, reader) }
            #expect(try contents(output) == decoded)
        }
    }

    private static let python: String? = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map {
        "\($0)/python3"
    }.first {
        (try? run($0, ["-c", "import numpy"])) == 0
    }

    /// Decodes a tensor in the plainest way: level times scale in float32.
    private func values(of tensor: Int, _ reader: NF4ContainerReader) throws -> [UInt8] {
        let data = try reader.data(ofTensor: tensor)
        let description = reader.tensors[tensor]
        guard let quantization = description.encoding.blockQuantization else {
            return widened(data[.values] ?? [], description.encoding.denseDType)
        }
        var scales: [Float]
        if let double = quantization.doubleQuantization {
            let nested = floats(data[.nestedAbsmax] ?? [])
            let codebook = double.codebook ?? DoubleQuantizer.codebook
            scales = (data[.absmax] ?? []).enumerated().map { position, code in
                let product = codebook[Int(code)] * nested[position / double.blocksize]
                return product + (double.offset ?? 0)
            }
        } else {
            scales = floats(data[.absmax] ?? [])
        }
        let levels = quantization.quantType.levels
        let codes = data[.codes] ?? []
        return (0..<description.elementCount).flatMap { element in
            let code = element % 2 == 0 ? codes[element / 2] >> 4 : codes[element / 2] & 15
            return bytes(of: levels[Int(code)] * scales[element / quantization.blocksize])
        }
    }

    private func widened(_ bytes: [UInt8], _ dtype: DType?) -> [UInt8] {
        func words() -> [UInt16] {
            stride(from: 0, to: bytes.count, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
        }
        switch dtype {
        case .bf16: return words().flatMap { self.bytes(of: Float(bitPattern: UInt32($0) << 16)) }
        case .f16: return words().flatMap { self.bytes(of: widenedHalf($0)) }
        case .f64:
            return stride(from: 0, to: bytes.count, by: 8).flatMap { start in
                let bits = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[start + $1]) << UInt64(8 * $1) }
                return self.bytes(of: Float(Double(bitPattern: bits)))
            }
        default: return bytes
        }
    }

    private func widenedHalf(_ half: UInt16) -> Float {
        let sign: Float = half >> 15 == 1 ? -1 : 1
        let exponent = Int(half >> 10 & 31)
        let fraction = Float(half & 1023) / 1024
        if exponent == 31 {
            // A NaN keeps its sign and payload.
            return Float(bitPattern: UInt32(half & 0x8000) << 16 | 0x7F80_0000 | UInt32(half & 1023) << 13)
        }
        if exponent == 0 { return sign * fraction * 0x1p-14 }
        return sign * (1 + fraction) * Float(sign: .plus, exponent: exponent - 15, significand: 1)
    }

    private func floats(_ bytes: [UInt8]) -> [Float] {
        stride(from: 0, to: bytes.count, by: 4).map { start in
            Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << UInt32(8 * $1) })
        }
    }

    private func bytes(of value: Float) -> [UInt8] {
        withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    }
}

private func run(_ program: String, _ arguments: [String]) throws -> Int32 {
    let process = Process()
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus
}
