import Checkpoints
import Foundation
import SystemPackage
import Tensors
import TestSupport

/// A model with random contents, in memory: what tests write and compare with.
package struct SampleModel: Sendable {
    package var tensors: [LogicalTensor] = []
    /// The bytes of each tensor's parts.
    package var data: [[TensorPart: [UInt8]]] = []
    package var metadata: [String: String] = [:]
    package var sideFiles: [SideFile] = []
    package var adapters: [NF4ContainerAdapter] = []
    package var adapterData: [[[UInt8]]] = []

    package init() {}

    /// Adds a tensor whose codes have the distribution of quantized weights and whose values look like floats.
    package mutating func add(_ tensor: LogicalTensor, _ generator: inout SeededGenerator) {
        tensors.append(tensor)
        var parts: [TensorPart: [UInt8]] = [:]
        for (part, byteCount) in tensor.parts {
            parts[part] =
                switch part {
                case .codes: (0..<byteCount).map { _ in generator.nibble() << 4 | generator.nibble() }
                default: (0..<byteCount).map { $0 % 4 == 3 ? 0x3F : UInt8(generator.below(256)) }
                }
        }
        data.append(parts)
    }

    package static func quantized(
        _ name: String, _ shape: [Int], _ type: QuantType = .nf4, blocksize: Int = 64, double: Bool = true,
        dtype: DType = .bf16, storage: BitsAndBytesStorage? = nil
    ) -> LogicalTensor {
        LogicalTensor(
            name: name, shape: shape,
            encoding: .blockQuantized(
                BlockQuantization(
                    quantType: type, blocksize: blocksize, dtype: dtype,
                    doubleQuantization: double ? DoubleQuantization(offset: 0.046_875) : nil, storage: storage)))
    }

    package static func dense(_ name: String, _ shape: [Int], _ dtype: DType) -> LogicalTensor {
        LogicalTensor(name: name, shape: shape, encoding: .dense(dtype))
    }
}

extension SampleModel {
    /// A little of everything: both 4-bit types, all blocksizes, odd sizes, empty tensors, scalars, every dtype.
    package static func varied(seed: UInt64) -> SampleModel {
        var generator = SeededGenerator(seed: seed)
        var model = SampleModel()
        for blocksize in BlockQuantization.validBlocksizes {
            for (type, double) in [(QuantType.nf4, true), (.nf4, false), (.fp4, true), (.fp4, false)] {
                let shape = [generator.below(70) + 1, generator.below(70) + 1]
                model.add(
                    quantized(
                        "layers.\(blocksize).\(type).\(double)", shape, type, blocksize: blocksize, double: double),
                    &generator)
            }
        }
        for (number, shape) in [[], [0], [1], [3], [64], [65], [0, 5], [7, 11, 13]].enumerated() {
            model.add(quantized("odd.\(number)", shape, double: number % 2 == 0), &generator)
            model.add(dense("odd.dense.\(number)", shape, .f32), &generator)
        }
        for dtype in DType.allCases {
            model.add(dense("dtype.\(dtype)", [8, generator.below(40) + 1], dtype), &generator)
        }
        model.metadata = ["format": "pt", "naïve": "✓", "": ""]
        model.sideFiles = [
            SideFile(name: "config.json", content: .bytes(Array("{\"hidden_size\": 192}\n".utf8))),
            SideFile(name: "chat/template.jinja", content: .bytes(generator.bytes(3000))),
            SideFile(name: "empty.txt", content: .bytes([])),
        ]
        return model
    }

    /// Adds an adapter with two modules.
    package mutating func addAdapter(_ name: String, _ generator: inout SeededGenerator) {
        let tensors = [
            SampleModel.dense("base_model.model.q_proj.lora_A.weight", [8, 48], .f32),
            SampleModel.dense("base_model.model.q_proj.lora_B.weight", [64, 8], .f32),
            SampleModel.dense("base_model.model.v_proj.lora_A.weight", [4, 48], .bf16),
            SampleModel.dense("base_model.model.v_proj.lora_B.weight", [16, 4], .bf16),
        ]
        adapters.append(
            NF4ContainerAdapter(
                name: name, weight: 0.75, configuration: Array("{\"r\": 8}".utf8), tensors: tensors,
                modules: [
                    .init(
                        name: "q_proj", rank: 8, scaling: 2.0 / 3,
                        factors: [
                            .init(role: .loraA, tensor: 0), .init(role: .loraB, tensor: 1),
                        ]),
                    .init(
                        name: "v_proj", rank: 4, scaling: 0.1, fanInFanOut: true,
                        factors: [
                            .init(role: .loraA, tensor: 2), .init(role: .loraB, tensor: 3),
                        ]),
                ]))
        adapterData.append(tensors.map { generator.bytes($0.byteCount(of: .values)) })
    }
}

// MARK: - Writing and reading

extension SampleModel {
    /// A range of bytes that a writer gets in one call.
    package struct Piece: Sendable {
        package enum Target: Sendable {
            case tensor(Int, TensorPart)
            case adapter(Int, tensor: Int)
        }
        package let target: Target
        package let range: Range<Int>
    }

    /// The model's bytes in pieces of at most `size`.
    package func pieces(size: Int) -> [Piece] {
        var pieces: [Piece] = []
        func cut(_ count: Int, _ target: Piece.Target) {
            for start in stride(from: 0, to: count, by: size) {
                pieces.append(Piece(target: target, range: start..<min(count, start + size)))
            }
        }
        for (number, tensor) in tensors.enumerated() {
            for (part, byteCount) in tensor.parts { cut(byteCount, .tensor(number, part)) }
        }
        for (adapter, tensors) in adapterData.enumerated() {
            for (tensor, bytes) in tensors.enumerated() { cut(bytes.count, .adapter(adapter, tensor: tensor)) }
        }
        return pieces
    }

    package func write(_ piece: Piece, with writer: NF4ContainerWriter) throws {
        switch piece.target {
        case .tensor: try write([piece], to: writer)
        case .adapter(let adapter, let tensor):
            try adapterData[adapter][tensor].withUnsafeBytes {
                try writer.writeAdapter(
                    UnsafeRawBufferPointer(rebasing: $0[piece.range]), adapter: adapter, tensor: tensor,
                    at: piece.range.lowerBound)
            }
        }
    }

    /// Writes the tensors in the order of `pieces`, and no adapters.
    package func write(_ pieces: [Piece], to writer: any CheckpointWriter) throws {
        for piece in pieces {
            guard case .tensor(let tensor, let part) = piece.target else { continue }
            try (data[tensor][part] ?? []).withUnsafeBytes {
                try writer.write(
                    UnsafeRawBufferPointer(rebasing: $0[piece.range]), part: part, ofTensor: tensor,
                    at: piece.range.lowerBound)
            }
        }
    }

    package func writer(
        _ path: FilePath, _ compression: NF4ContainerWriter.Compression = .zlib, memoryLimit: Int = 64 << 20,
        pieceSizeLog2: Int = 16
    ) throws -> NF4ContainerWriter {
        try NF4ContainerWriter(
            destination: path, tensors: tensors, metadata: metadata, sideFiles: sideFiles, adapters: adapters,
            compression: compression, memoryLimit: memoryLimit, force: true, pieceSizeLog2: pieceSizeLog2)
    }

    /// Writes the model in order.
    package func write(
        to path: FilePath, _ compression: NF4ContainerWriter.Compression = .zlib, pieceSizeLog2: Int = 16
    ) throws {
        let writer = try writer(path, compression, pieceSizeLog2: pieceSizeLog2)
        for piece in pieces(size: .max >> 1) { try write(piece, with: writer) }
        try writer.commit()
    }
}

extension CheckpointReader {
    package func bytes(_ part: TensorPart, ofTensor tensor: Int, _ range: Range<Int>) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xAA, count: range.count)
        try bytes.withUnsafeMutableBytes { try read(part, ofTensor: tensor, at: range.lowerBound, into: $0) }
        return bytes
    }

    /// All parts of a tensor.
    package func data(ofTensor tensor: Int) throws -> [TensorPart: [UInt8]] {
        var data: [TensorPart: [UInt8]] = [:]
        for (part, byteCount) in tensors[tensor].parts {
            data[part] = try bytes(part, ofTensor: tensor, 0..<byteCount)
        }
        return data
    }
}

extension SeededGenerator {
    /// A 4-bit code, most often one in the middle.
    package mutating func nibble() -> UInt8 { UInt8((0..<5).reduce(0) { sum, _ in sum + below(4) }) }
}

/// A directory that is removed with its last reference.
package final class TemporaryDirectory: Sendable {
    package let path: FilePath

    package init() throws {
        let url = FileManager.default.temporaryDirectory.appending(path: "qconv-tests-\(UUID())")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = FilePath(url.path)
    }

    deinit { try? FileManager.default.removeItem(atPath: path.string) }

    package func file(_ name: String) -> FilePath { path.appending(name) }
}

package func contents(_ path: FilePath) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path.string))) }

package func write(_ bytes: [UInt8], to path: FilePath) throws { try Data(bytes).write(to: URL(filePath: path.string)) }
