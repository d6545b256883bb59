/// Elements of two tensors, a and b, that are not the same number, and those that are no finite number on either side.
public struct DifferenceCounts: Hashable, Sendable {
    /// Elements that are not the same number. Any NaN is the same as any other, and −0 the same as 0.
    public var changed = 0
    public var nanA = 0
    public var infiniteA = 0
    public var nanB = 0
    public var infiniteB = 0
    /// Elements that are not finite on one side and something else on the other.
    public var nonFiniteMismatches = 0

    public init() {}

    public mutating func merge(_ other: DifferenceCounts) {
        changed += other.changed
        nanA += other.nanA
        infiniteA += other.infiniteA
        nanB += other.nanB
        infiniteB += other.infiniteB
        nonFiniteMismatches += other.nonFiniteMismatches
    }
}
