import Tensors

/// An element as a number that no rounding has touched, for comparisons in which one side is an integer.
enum ExactNumber: Hashable {
    case integer(Int64)
    /// An integer above those of ``integer(_:)``.
    case largeInteger(UInt64)
    /// A fraction, something beyond 64 bits, or no number: nothing that an integer of 64 bits could equal.
    case noInteger

    init<Integer: FixedWidthInteger>(_ value: Integer) {
        self = Int64(exactly: value).map(ExactNumber.integer) ?? .largeInteger(UInt64(truncatingIfNeeded: value))
    }

    init(_ value: Double) {
        self =
            Int64(exactly: value).map(ExactNumber.integer) ?? UInt64(exactly: value).map(ExactNumber.largeInteger)
            ?? .noInteger
    }
}

extension Encoding {
    /// Whether elements are integers that a float64 does not tell apart.
    var hasWideIntegers: Bool { self == .dense(.i64) || self == .dense(.u64) }
}
