import Checkpoints
import Tensors

/// The output head of a model that stores none of its own: the input embedding serves as its weight too.
public struct TiedHead: Hashable, Sendable {
    /// The input embedding, as an index into the model's tensors.
    public let embedding: Int

    /// - Parameters:
    ///   - tensors: The model's.
    ///   - tiesEmbeddings: What config.json says (`tie_word_embeddings`); `nil` when it says nothing.
    /// - Returns: `nil` for a model with a head of its own, without a head, or without exactly one input embedding.
    public init?(_ tensors: [LogicalTensor], tiesEmbeddings: Bool?) {
        // A model for text that was saved without a head is tied unless its config denies it.
        guard tiesEmbeddings ?? true, !tensors.contains(where: { TokenMatrix($0) == .head }) else { return nil }
        let embeddings = tensors.indices.filter { TokenMatrix(tensors[$0]) == .embedding }
        guard embeddings.count == 1 else { return nil }
        embedding = embeddings[0]
    }
}

extension LoRAAdapter {
    /// Whether merging gives a tied output head a weight of its own: one of the two was trained as a copy, and nothing ties
    /// the other to it.
    ///
    /// - Parameter embedding: The adapter's name for the input embedding.
    public func unties(embedding: String) -> Bool {
        guard !configuration.ensureWeightTying else { return false }
        return changes.contains { change in
            guard case .replacement(_, isCopy: true) = change.kind else { return false }
            return change.tensorName == embedding || TokenMatrix(tensorName: change.tensorName) == .head
        }
    }

    /// The name that the adapter has for the output head's weight; `nil` when it leaves that alone.
    var headName: String? { changes.map(\.tensorName).first { TokenMatrix(tensorName: $0) == .head } }

    /// The name that a tied output head gets when it becomes a tensor of its own.
    ///
    /// - Parameter embedding: The model's name for the input embedding.
    public func headName(besides embedding: String, _ names: AdapterNameFit) -> String {
        headName.map(names.modelName) ?? ModelLayout.headName(besides: embedding)
    }
}
