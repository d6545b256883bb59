import Tensors

/// The matrices of a language model that have a row for each token of the vocabulary, known by name.
public enum TokenMatrix: Hashable, Sendable {
    /// The input embedding, [tokens, width].
    case embedding
    /// The output head's weight, [tokens, width].
    case head

    /// `nil` for any other tensor.
    public init?(tensorName: String) {
        let components = tensorName.split(separator: ".")
        guard components.last == "weight", let module = components.dropLast().last else { return nil }
        if ["embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings", "shared"].contains(module) {
            self = .embedding
        } else if ["lm_head", "embed_out"].contains(module) {
            self = .head
        } else {
            return nil
        }
    }

    /// Whether a tensor is one of them, stored as a dense or 4-bit matrix.
    public init?(_ tensor: LogicalTensor) {
        guard tensor.shape.count == 2 else { return nil }
        self.init(tensorName: tensor.name)
    }
}
