import Checkpoints
import LosslessJSON
import SystemPackage
import Tensors

/// What `qconv convert IN OUT` asks for: the short form of a pipeline.
public struct ConversionRequest: Sendable {
    public let input: FilePath
    public let output: FilePath
    /// `nil`: nf4 for a path that ends so, else what the input's tensors are.
    public let format: OutputFormat?
    /// The dtype of dense weights.
    public let dtype: DType?

    public init(input: FilePath, output: FilePath, format: OutputFormat?, dtype: DType?) {
        self.input = input
        self.output = output
        self.format = format
        self.dtype = dtype
    }

    /// The spec that the request stands for.
    ///
    /// 4-bit weights that are to be dense are dequantized, dense ones that are to be 4-bit are quantized as transformers
    /// would, attached adapters are merged where the format cannot hold them, and everything else is kept.
    ///
    /// - Throws: The errors of opening the input; ``PlanError`` when the request contradicts itself.
    public func spec() throws -> JSONValue {
        let model = try PlannedModel(input: ModelDirectory(path: input))
        let isQuantized = model.tensors.contains { $0.tensor.encoding.blockQuantization != nil }
        let format = format ?? defaultFormat(isQuantized: isQuantized)
        let steps = try steps(to: format, isQuantized: isQuantized, hasAdapters: !model.adapters.isEmpty)
        return [
            "input": .string(input.string), "steps": .array(steps),
            "output": ["path": .string(output.string), "format": .string(format.rawValue)],
        ]
    }

    private func defaultFormat(isQuantized: Bool) -> OutputFormat {
        if output.extension == OutputFormat.nf4.rawValue { return .nf4 }
        if output.extension == PatchReader.pathExtension { return .patch }
        return isQuantized && dtype == nil ? .bitsandbytes : .safetensors
    }

    private func steps(to format: OutputFormat, isQuantized: Bool, hasAdapters: Bool) throws(PlanError) -> [JSONValue] {
        let dtypeName = dtype.map { JSONValue.string($0.rawValue.lowercased()) }
        var toDense: JSONValue = ["op": hasAdapters ? "dequantize-merge" : "dequantize"]
        toDense["dtype"] = dtypeName
        let cast = dtypeName.map { ["op": "cast", "dtype": $0] as JSONValue }
        switch format {
        case .safetensors:
            return (isQuantized || hasAdapters ? [toDense] : []) + (cast.map { [$0] } ?? [])
        case .bitsandbytes where dtype != nil:
            throw PlanError(
                place: "--dtype", problem: "the format bitsandbytes keeps weights in 4 bits",
                remedy: "use --to safetensors, or drop --dtype")
        case .bitsandbytes:
            guard isQuantized else { return (hasAdapters ? [toDense] : []) + [["op": "quantize"]] }
            return hasAdapters ? [["op": "merge-in-4bit"]] : []
        case .patch:
            throw PlanError(
                place: "--to", problem: "a patch says what steps have changed, and a conversion has none",
                remedy: "use it as the output of a pipeline, or make one from two models: qconv patch create")
        case .nf4:
            guard dtype != nil else { return [] }
            return (isQuantized || hasAdapters ? [toDense] : []) + (cast.map { [$0] } ?? [])
        }
    }
}
