import Tensors

/// The matrices of a language model that have a row for each token of the vocabulary, known by name.
public enum TokenMatrix: Hashable, Sendable {
    /// The input embedding, [tokens, width].
    case embedding
    /// The output head's weight, [tokens, width].
    case head

    private static let modules: [(name: String, matrix: TokenMatrix)] = [
        ("embed_tokens", .embedding), ("wte", .embedding), ("word_embeddings", .embedding), ("embed_in", .embedding),
        ("tok_embeddings", .embedding), ("shared", .embedding), ("lm_head", .head), ("embed_out", .head),
    ]

    /// `nil` for any other tensor.
    public init?(tensorName: String) {
        let weight = ".weight"
        guard tensorName.endsWithBytes(weight) else { return nil }
        let end = tensorName.utf8.count - weight.utf8.count
        let module = TokenMatrix.modules.first { module in
            let start = end - module.name.utf8.count
            return tensorName.hasBytes(module.name, endingAt: end)
                && (start == 0 || tensorName.hasBytes(".", endingAt: start))
        }
        guard let module else { return nil }
        self = module.matrix
    }

    /// Whether a tensor is one of them, stored as a dense or 4-bit matrix.
    public init?(_ tensor: LogicalTensor) {
        guard tensor.shape.count == 2 else { return nil }
        self.init(tensorName: tensor.name)
    }
}
