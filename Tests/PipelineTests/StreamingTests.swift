import Checkpoints
import Foundation
import Pipeline
import Quantization
import SystemPackage
import Tensors
import TestSupport
import Testing

/// Tensors of odd shapes, streamed in chunks by several threads, beside the same conversion of whole tensors in memory.
@Suite final class StreamingTests {
    private let directory: URL
    private let tensors: [LogicalTensor]
    private let bytes: [[UInt8]]

    /// A model of many shapes: scalars, empty tensors, rows that blocks cross, short last blocks, more than one chunk.
    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("qconv-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        var generator = SeededGenerator(seed: 7)
        var tensors: [LogicalTensor] = []
        let shapes = [
            [], [1], [0, 5], [1, 1], [3, 7], [33, 65], [5, 4096], [3, 70_001], [257, 513], [2, 3, 129],
        ]
        for (index, shape) in shapes.enumerated() {
            for dtype in [DType.bf16, .f16, .f32] {
                tensors.append(
                    LogicalTensor(name: "t\(index).\(dtype.rawValue)", shape: shape, encoding: .dense(dtype)))
            }
        }
        for dtype in DType.allCases {
            tensors.append(LogicalTensor(name: "any.\(dtype.rawValue)", shape: [24, 50], encoding: .dense(dtype)))
        }
        self.tensors = tensors
        bytes = tensors.map { tensor in
            guard let dtype = tensor.encoding.denseDType, FloatConversion.canEncode(dtype) else {
                return (0..<tensor.byteCount(of: .values)).map { _ in UInt8(truncatingIfNeeded: generator.next() & 0x3f)
                }
            }
            let values = (0..<tensor.elementCount).map { _ in generator.nextGaussian() * 0.05 }
            return [UInt8](unsafeUninitializedCapacity: tensor.byteCount(of: .values)) { buffer, count in
                if let base = buffer.baseAddress, !values.isEmpty {
                    FloatConversion.encode(values, count: values.count, as: dtype, into: base)
                }
                count = tensor.byteCount(of: .values)
            }
        }
        let writer = try SafetensorsCheckpointWriter(destination: path("in.safetensors"), tensors: tensors)
        for (index, data) in bytes.enumerated() {
            try data.withUnsafeBytes { try writer.write($0, part: .values, ofTensor: index, at: 0) }
        }
        try writer.commit()
    }

    deinit {
        try? FileManager.default.removeItem(at: directory)
    }

    private func path(_ name: String) -> FilePath { FilePath(directory.appendingPathComponent(name).path) }

    /// Runs steps and opens the result.
    private func convert(_ steps: String, threads: Int = 2, memory: Int = 256 << 20) throws -> WeightsCheckpoint {
        let text = #"{"input": "in.safetensors", "steps": [\#(steps)], "output": {"path": "out.safetensors"}}"#
        let spec = try PipelineSpec(text: text.utf8, file: path("spec.json"))
        var options = PipelineOptions()
        options.force = true
        options.threads = threads
        options.memory = memory
        let plan = try PipelinePlan(spec: spec, options: options)
        _ = try PipelineExecutor(plan: plan, options: options).run()
        return try WeightsCheckpoint(path: path("out.safetensors"))
    }

    /// No chunk, no job, and no memory for either.
    @Test func nothingButEmptyTensors() throws {
        let tensors = [LogicalTensor(name: "empty", shape: [0, 5], encoding: .dense(.f32))]
        try SafetensorsCheckpointWriter(destination: path("in.safetensors"), tensors: tensors, force: true).commit()
        #expect(try convert("").tensors.map(\.shape) == [[0, 5]])
    }

    private func part(_ part: TensorPart, of name: String, in reader: WeightsCheckpoint) throws -> [UInt8] {
        let index = try #require(reader.tensors.firstIndex { $0.name == name })
        var bytes = [UInt8](repeating: 0, count: reader.tensors[index].byteCount(of: part))
        try bytes.withUnsafeMutableBytes { try reader.read(part, ofTensor: index, at: 0, into: $0) }
        return bytes
    }

    private func floats(_ index: Int) -> [Float] {
        guard let dtype = tensors[index].encoding.denseDType else { return [] }
        return [Float](unsafeUninitializedCapacity: tensors[index].elementCount) { buffer, count in
            count = tensors[index].elementCount
            bytes[index].withUnsafeBytes { source in
                guard let source = source.baseAddress, let target = buffer.baseAddress else { return }
                FloatConversion.decode(dtype, source, count: count, into: target)
            }
        }
    }

    @Test(arguments: QuantType.allCases, [32, 64, 1024, 4096])
    func quantizingInChunksIsQuantizingWhole(quantType: QuantType, blocksize: Int) throws {
        for double in [true, false] {
            let reader = try convert(
                #"{"op": "quantize", "include": ["t*"], "exclude": ["t0.*", "t1.*", "t2.*"], "quant_type": "\#(quantType.rawValue)", "blocksize": \#(blocksize), "double_quant": \#(double)}"#
            )
            for index in tensors.indices where tensors[index].name.hasPrefix("t") && tensors[index].shape.count >= 2 {
                guard tensors[index].elementCount > 0 else { continue }
                let name = tensors[index].name
                let values = floats(index)
                let blocks = (values.count + blocksize - 1) / blocksize
                var absmax = [Float](repeating: 0, count: blocks)
                BlockQuantizer.absmax(values, count: values.count, blocksize: blocksize, into: &absmax)
                var codes = [UInt8](repeating: 0, count: (values.count + 1) / 2)
                BlockQuantizer.quantize(
                    values, absmax: absmax, count: values.count, blocksize: blocksize, quantType: quantType,
                    rounding: .nearest, firstIndex: 0, into: &codes)
                #expect(try part(.codes, of: name, in: reader) == codes, "\(name)")
                guard double else {
                    #expect(try part(.absmax, of: name, in: reader) == absmax.withUnsafeBytes { Array($0) }, "\(name)")
                    continue
                }
                let offset = Float(absmax.reduce(0.0) { $0 + Double($1) } / Double(blocks))
                var scaleCodes = [UInt8](repeating: 0, count: blocks)
                var nested = [Float](repeating: 0, count: (blocks + 255) / 256)
                DoubleQuantizer.quantize(
                    absmax, count: blocks, offset: offset, into: &scaleCodes, nestedAbsmax: &nested)
                #expect(try part(.absmax, of: name, in: reader) == scaleCodes, "\(name)")
                #expect(
                    try part(.nestedAbsmax, of: name, in: reader) == nested.withUnsafeBytes { Array($0) }, "\(name)")
            }
        }
    }

    @Test func everyOtherTensorIsCopied() throws {
        let reader = try convert(#"{"op": "quantize", "include": ["t8.*"]}"#)
        for (tensor, data) in zip(tensors, bytes) where !tensor.name.hasPrefix("t8.") {
            #expect(try part(.values, of: tensor.name, in: reader) == data, "\(tensor.name)")
        }
    }

    @Test(arguments: [
        #"{"op": "cast", "dtype": "f32"}"#,
        #"{"op": "cast", "dtype": "bf16", "exclude": ["any.F8_E8M0"]}"#,
        #"{"op": "quantize", "include": ["t[3-9].*"], "rounding": "stochastic", "seed": 3, "blocksize": 4096}, {"op": "dequantize", "dtype": "f32"}"#,
        #"{"op": "quantize", "include": ["t[3-9].*"], "double_quant": false}, {"op": "requantize", "quant_type": "fp4", "blocksize": 32, "rounding": "stochastic", "include": ["t[3-9].*"]}"#,
    ])
    func threadsAndMemoryDoNotMatter(steps: String) throws {
        var files: [Data] = []
        for (threads, memory) in [(1, 256 << 20), (2, 256 << 20), (5, 64 << 20), (3, 33 << 20)] {
            _ = try convert(steps, threads: threads, memory: memory)
            files.append(try Data(contentsOf: directory.appendingPathComponent("out.safetensors")))
        }
        #expect(files.allSatisfy { $0 == files[0] })
    }

    @Test func castingToAWiderDTypeAndBackIsExact() throws {
        let reader = try convert(
            #"{"op": "cast", "dtype": "f32"}, {"op": "cast", "dtype": "bf16", "include": ["t*.BF16"]}"#)
        for (tensor, data) in zip(tensors, bytes) where tensor.name.hasPrefix("t") && tensor.name.hasSuffix("BF16") {
            #expect(try part(.values, of: tensor.name, in: reader) == data, "\(tensor.name)")
        }
    }
}

extension SeededGenerator {
    /// Roughly normal: the sum of twelve uniform numbers.
    mutating func nextGaussian() -> Float {
        (0..<12).reduce(Float(-6)) { sum, _ in sum + Float.random(in: 0..<1, using: &self) }
    }
}
