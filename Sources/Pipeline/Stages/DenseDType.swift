import Tensors

/// The dtypes that a step can make dense weights in, as specs name them.
public enum DenseDType: String, CaseIterable, Sendable {
    case bf16, f16, f32

    public var dtype: DType {
        switch self {
        case .bf16: .bf16
        case .f16: .f16
        case .f32: .f32
        }
    }

    /// The key of a step that makes dense weights.
    static func key(_ summary: String, required: Bool = false) -> SpecKey {
        SpecKey("dtype", .choice(allCases.map(\.rawValue)), required: required, summary)
    }
}
