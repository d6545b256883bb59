/// Sums over the elements of a tensor from which every error figure of a report follows.
///
/// With, for an element, b the base value, d the update that was to be added to it (0 without an adapter), e = b + d the
/// exact result, w the written value. ``ErrorFigures`` says what follows from the sums.
///
/// The sums are accumulated per granule in an order that does not depend on threads or chunk sizes, and granules are
/// merged in the order of the tensor, so the figures are identical for any number of threads. Terms are added in float64;
/// where codes are made, and where many elements of two models are compared, runs of 32 terms are added in float32 first,
/// which moves a result by less than one part in ten million (see ``BlockQuantizer``).
public struct ErrorSums: Hashable, Sendable {
    /// Number of elements, the ones that are left out of the sums below included.
    public var count = 0
    /// Σ (w − e)²
    public var squaredError = 0.0
    /// Σ e²
    public var squaredExact = 0.0
    /// Σ w²
    public var squaredWritten = 0.0
    /// Σ w · e
    public var writtenDotExact = 0.0
    /// Σ b²
    public var squaredBase = 0.0
    /// Σ d²
    public var squaredUpdate = 0.0
    /// Σ (w − b) · d
    public var changeDotUpdate = 0.0
    /// max |w − e|
    public var maxAbsError = 0.0
    /// Elements whose exact result is NaN or infinite; they are left out of the sums above.
    public var nonFiniteExact = 0
    /// Elements whose exact result is finite but whose written value is NaN or infinite; left out of the sums above.
    public var nonFiniteWritten = 0

    public init() {}

    /// Adds the sums of the elements that follow.
    public mutating func merge(_ next: ErrorSums) {
        count += next.count
        squaredError += next.squaredError
        squaredExact += next.squaredExact
        squaredWritten += next.squaredWritten
        writtenDotExact += next.writtenDotExact
        squaredBase += next.squaredBase
        squaredUpdate += next.squaredUpdate
        changeDotUpdate += next.changeDotUpdate
        maxAbsError = max(maxAbsError, next.maxAbsError)
        nonFiniteExact += next.nonFiniteExact
        nonFiniteWritten += next.nonFiniteWritten
    }
}
