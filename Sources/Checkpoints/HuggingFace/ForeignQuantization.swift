import Tensors

/// A quantization that a checkpoint uses and that we cannot decode. Its tensors can be copied, but not quantized, merged
/// into or dequantized.
public struct ForeignQuantization: Hashable, Sendable, CustomStringConvertible {
    /// The method's name: `LLM.int8`, `gptq`, `awq`, `compressed-tensors`, …
    public let method: String
    /// What gave it away: a tensor's name, or a key of config.json.
    public let evidence: String

    public init(method: String, evidence: String) {
        self.method = method
        self.evidence = evidence
    }

    public var description: String {
        "the model is quantized with \(method) (\(evidence)), which qconv cannot decode; use the 16-bit original"
    }
}

extension ForeignQuantization {
    /// What the names of tensors tell.
    init?(tensorNames: some Sequence<String>) {
        // Each suffix stands for a method by itself; GPTQ and AWQ use the same names.
        let suffixes: [(suffix: String, method: String)] = [
            (".SCB", "bitsandbytes LLM.int8"),
            (".qzeros", "GPTQ or AWQ"),
            (".qweight", "GPTQ or AWQ"),
            (".weight_packed", "compressed-tensors"),
            (".weight_scale_inv", "block-wise FP8"),
            (".weight_scale", "compressed-tensors or FP8"),
            (".weight_blocks", "MXFP4"),
            ("_proj_blocks", "MXFP4"),
        ]
        for name in tensorNames {
            for (suffix, method) in suffixes where name.endsWithBytes(suffix) {
                self.init(method: method, evidence: "tensor \"\(name)\"")
                return
            }
        }
        return nil
    }
}
