import Adapters
import Quantization
import Tensors

/// A name and the tensors that bear it in the two models.
struct TensorPair: Sendable {
    /// A tensor of one model.
    struct Side: Sendable {
        /// Index into the reader's tensors.
        let index: Int
        let tensor: LogicalTensor
    }

    /// How values are brought together.
    enum Arithmetic: Hashable, Sendable {
        /// Both sides are decoded to float32, exactly.
        case float32
        /// Both sides are decoded to float64: float64 itself, and integers.
        case float64
        /// The dtype of a side cannot be decoded; only bytes can be compared.
        case bytes
    }

    /// The name after the renames.
    let name: String
    let a: Side?
    let b: Side?
    /// The adapter's changes of this tensor.
    var changes: [AdapterMatch] = []

    /// The two sides, if they have the same shape and so can be compared.
    var comparable: (a: Side, b: Side)? {
        guard let a, let b, a.tensor.shape == b.tensor.shape else { return nil }
        return (a, b)
    }

    /// The runs that the values go through in, of whole blocks of both encodings; none where they cannot be compared.
    ///
    /// - Parameter targetElements: About how long a run is.
    func chunks(of targetElements: Int) -> Chunks {
        let granules = [a, b].compactMap { $0?.tensor.encoding.granule }
        let granule = granules.reduce(64, max)
        return Chunks(
            elements: comparable?.a.tensor.elementCount ?? 0, length: max(1, targetElements / granule) * granule)
    }

    var arithmetic: Arithmetic {
        switch (a?.tensor.encoding.arithmetic, b?.tensor.encoding.arithmetic) {
        case (.float32, .float32): .float32
        case (.bytes, _), (_, .bytes), (nil, _), (_, nil): .bytes
        default: .float64
        }
    }

    /// Whether equal bytes mean equal values.
    var hasOneEncoding: Bool {
        guard let (a, b) = comparable else { return false }
        return a.tensor.encoding.decodes(like: b.tensor.encoding)
    }
}

extension Encoding {
    fileprivate var arithmetic: TensorPair.Arithmetic {
        switch self {
        case .blockQuantized: .float32
        case .dense(.f64), .dense(.bool), .dense(.i8), .dense(.u8), .dense(.i16), .dense(.u16), .dense(.i32),
            .dense(.u32), .dense(.i64), .dense(.u64):
            .float64
        case .dense(let dtype): FloatConversion.canDecode(dtype) ? .float32 : .bytes
        }
    }

    /// Whether elements are real numbers that can be decoded to float32.
    var isReal: Bool {
        switch self {
        case .blockQuantized: true
        case .dense(let dtype): FloatConversion.canDecode(dtype)
        }
    }

    /// Whether the same bytes have the same values in both encodings.
    func decodes(like other: Encoding) -> Bool {
        switch (self, other) {
        case (.dense(let left), .dense(let right)): left == right
        case (.blockQuantized(let left), .blockQuantized(let right)):
            left.hasGrid(of: right) && left.doubleQuantization == right.doubleQuantization
        default: false
        }
    }
}

extension BlockQuantization {
    /// Whether both choose among the same levels for the same blocks, so that codes can be compared one by one.
    func hasGrid(of other: BlockQuantization) -> Bool {
        quantType == other.quantType && blocksize == other.blocksize
    }
}
