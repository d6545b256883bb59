import Quantization
import Tensors

/// What a conversion did to one logical tensor.
public struct TensorReport: Hashable, Sendable {
    /// The rounding rule that made a tensor's 4-bit codes.
    public enum Rounding: String, CaseIterable, Hashable, Sendable {
        case nearest
        case stochastic
    }

    /// The tensor's name in the output.
    public let name: String
    /// The logical shape, outermost dimension first; empty for a scalar.
    public let shape: [Int]
    /// How the input stored the tensor.
    public let before: Encoding
    /// How the output stores it.
    public let after: Encoding
    /// What every figure follows from; `nil` for a tensor that was copied byte for byte.
    public let sums: ErrorSums?
    /// Whether an adapter brought an update for this tensor.
    public let hasUpdate: Bool
    /// How many 4-bit codes differ from the base's; `nil` when the two cannot be compared.
    public let codesChanged: Int?
    /// The rounding rule used; `nil` where no 4-bit codes were made.
    public let rounding: Rounding?
    /// What else is worth knowing about this tensor: waivers of the spec that were used, and the like.
    public let notes: [String]

    /// The number of elements.
    public let elements: Int
    /// The number of elements in the input: another one if a matrix got other rows.
    public let elementsBefore: Int
    /// Size of the tensor's data in the input, in bytes: values, or codes and scales. Tables and quant state JSON, which
    /// are the same few bytes for every tensor, are not counted.
    public let bytesBefore: Int
    /// Size of the tensor's data in the output, counted likewise.
    public let bytesAfter: Int
    /// The figures that follow from ``sums``.
    public let figures: ErrorFigures

    /// A tensor that was converted.
    ///
    /// - Parameters:
    ///   - shapeBefore: The logical shape in the input; `nil` for the same.
    ///   - codesChanged: How many 4-bit codes differ from the base's; `nil` when base and result are not both 4-bit with
    ///     the same codebook and the same blocks.
    ///   - hasUpdate: Whether an adapter brought an update for this tensor, be it of zeros.
    public init(
        name: String, shape: [Int], shapeBefore: [Int]? = nil, before: Encoding, after: Encoding, sums: ErrorSums,
        codesChanged: Int? = nil, hasUpdate: Bool = false, rounding: Rounding? = nil, notes: [String] = []
    ) {
        self.init(
            name: name, shape: shape, shapeBefore: shapeBefore ?? shape, before: before, after: after, sums: sums,
            figures: ErrorFigures(sums, hasUpdate: hasUpdate), codesChanged: codesChanged, hasUpdate: hasUpdate,
            rounding: rounding, notes: notes)
    }

    /// A tensor that no stage concerned and that was copied byte for byte: its error is 0 by definition.
    public static func untouched(_ tensor: LogicalTensor, notes: [String] = []) -> TensorReport {
        TensorReport(
            name: tensor.name, shape: tensor.shape, shapeBefore: tensor.shape, before: tensor.encoding,
            after: tensor.encoding, sums: nil,
            figures: .untouched, codesChanged: tensor.encoding.blockQuantization == nil ? nil : 0, hasUpdate: false,
            rounding: nil, notes: notes)
    }

    private init(
        name: String, shape: [Int], shapeBefore: [Int], before: Encoding, after: Encoding, sums: ErrorSums?,
        figures: ErrorFigures, codesChanged: Int?, hasUpdate: Bool, rounding: Rounding?, notes: [String]
    ) {
        let source = LogicalTensor(name: name, shape: shapeBefore, encoding: before)
        let result = LogicalTensor(name: name, shape: shape, encoding: after)
        self.name = name
        self.shape = shape
        self.before = before
        self.after = after
        self.sums = sums
        self.hasUpdate = hasUpdate
        self.codesChanged = codesChanged
        self.rounding = rounding
        self.notes = notes
        self.figures = figures
        elements = result.elementCount
        elementsBefore = source.elementCount
        bytesBefore = source.parts.reduce(0) { $0 + $1.byteCount }
        bytesAfter = result.parts.reduce(0) { $0 + $1.byteCount }
    }

    /// Whether the tensor was copied byte for byte.
    public var isUntouched: Bool { sums == nil }

    /// The share of 4-bit codes that differ from the base's, from 0 to 1; `nil` when they cannot be compared or there
    /// are none.
    public var codesChangedShare: Double? {
        guard let codesChanged, elements > 0 else { return nil }
        return Double(codesChanged) / Double(elements)
    }
}
