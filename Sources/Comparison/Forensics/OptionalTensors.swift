import Adapters
import Checkpoints
import Tensors

/// The tensors that a model may store or not, without a difference to what it computes: loading it makes them of others, or of
/// its configuration.
struct OptionalTensors {
    /// Whether the output head's weight is the input embedding in both models.
    private let headIsTied: Bool

    init(_ plan: ComparisonPlan) {
        func tensors(_ side: (TensorPair) -> TensorPair.Side?) -> [LogicalTensor] {
            plan.pairs.compactMap { pair in side(pair).map { $0.tensor(named: pair.name) } }
        }
        let sides = [
            (tensors: tensors(\.a), ties: plan.a.tiesEmbeddings), (tensors: tensors(\.b), ties: plan.b.tiesEmbeddings),
        ]
        // A head that is stored and not tied has values of its own, whatever the other model says.
        headIsTied =
            sides.allSatisfy { $0.ties != false }
            && sides.contains { TiedHead($0.tensors, tiesEmbeddings: $0.ties) != nil }
    }

    /// Whether a tensor that only one of the models has is one of them.
    func contains(_ pair: TensorPair) -> Bool {
        guard let tensor = (pair.a ?? pair.b)?.tensor(named: pair.name) else { return false }
        return TokenMatrix(tensor) == .head ? headIsTied : OptionalTensors.isBuffer(tensor)
    }

    /// Buffers that transformers makes when it builds a module, and that older versions of it wrote into checkpoints: rotary
    /// frequencies, and positions and causal masks of attention.
    private static let buffers: Set<Substring> = [
        "inv_freq", "original_inv_freq", "cos_cached", "sin_cached", "position_ids", "masked_bias",
    ]

    private static func isBuffer(_ tensor: LogicalTensor) -> Bool {
        guard let name = tensor.name.split(separator: ".").last else { return false }
        // GPT-2's causal mask, [1, 1, positions, positions], has the name of a bias.
        return buffers.contains(name) || name == "bias" && tensor.shape.count == 4
    }
}

extension TensorPair.Side {
    /// The tensor under the name that both models' tensors go by.
    fileprivate func tensor(named name: String) -> LogicalTensor {
        LogicalTensor(name: name, shape: tensor.shape, encoding: tensor.encoding)
    }
}

extension ComparedModel {
    /// Whether the configuration says that the output head's weight is the input embedding.
    fileprivate var tiesEmbeddings: Bool? {
        configuration.flatMap { ModelConfig.tiesWordEmbeddings(in: $0) }
    }
}
