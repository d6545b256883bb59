/// What one written output holds. A pipeline with `save` steps leaves several.
public struct OutputReport: Hashable, Sendable {
    /// Where the output was written, as the spec says.
    public let path: String
    /// The format: `safetensors`, `bitsandbytes`, …
    public let format: String
    /// Every tensor of the output, in its order.
    public let tensors: [TensorReport]
    /// What can be said about all of them together.
    public let summary: OutputSummary

    public init(path: String, format: String, tensors: [TensorReport]) {
        self.path = path
        self.format = format
        self.tensors = tensors
        summary = OutputSummary(tensors)
    }
}
