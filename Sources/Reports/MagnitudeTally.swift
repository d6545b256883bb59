import Kernels

/// Counts the magnitudes of errors while a tensor streams by: one thread's part of a ``MagnitudeHistogram``.
///
/// Its counters stay where they are in memory, small enough for a core's own cache.
public final class MagnitudeTally {
    private let counters: UnsafeMutablePointer<UInt32>
    /// Elements counted since the counters were last empty: no counter can hold more.
    private var elements = 0
    /// What the counters could not have held.
    private var overflow = MagnitudeHistogram()

    public init() {
        counters = .allocate(capacity: MagnitudeHistogram.bucketCount)
        counters.initialize(repeating: 0, count: MagnitudeHistogram.bucketCount)
    }

    deinit {
        counters.deallocate()
    }

    /// Counts |b − a|, rounded to float32, where both are finite; answers what else there is to count.
    public func add(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, count: Int) -> DifferenceCounts {
        makeRoom(for: count)
        var found = qconv_difference_counts()
        qconv_count_differences(a, b, count, counters, &found)
        var counts = DifferenceCounts()
        counts.changed = found.changed
        counts.nanA = found.nan_a
        counts.infiniteA = found.infinite_a
        counts.nanB = found.nan_b
        counts.infiniteB = found.infinite_b
        counts.nonFiniteMismatches = found.non_finite_mismatches
        return counts
    }

    /// The same for float64 values. Differences are taken in float64, then rounded to float32.
    public func add(_ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, count: Int) -> DifferenceCounts {
        makeRoom(for: count)
        var counts = DifferenceCounts()
        for index in 0..<count {
            let (a, b) = (a[index], b[index])
            counts.nanA += a.isNaN ? 1 : 0
            counts.nanB += b.isNaN ? 1 : 0
            counts.infiniteA += a.isInfinite ? 1 : 0
            counts.infiniteB += b.isInfinite ? 1 : 0
            let isChanged = a != b && !(a.isNaN && b.isNaN)
            counts.changed += isChanged ? 1 : 0
            guard a.isFinite, b.isFinite else {
                counts.nonFiniteMismatches += isChanged ? 1 : 0
                continue
            }
            counters[Int(Float(abs(b - a)).bitPattern >> 16)] += 1
        }
        return counts
    }

    /// What was counted, from where the counting starts anew.
    public func drain() -> MagnitudeHistogram {
        settle()
        defer { overflow = MagnitudeHistogram() }
        return overflow
    }

    private func makeRoom(for count: Int) {
        if elements + count > Int(UInt32.max) { settle() }
        elements += count
    }

    private func settle() {
        guard elements > 0 else { return }
        overflow.merge(MagnitudeHistogram(counters: counters))
        counters.update(repeating: 0, count: MagnitudeHistogram.bucketCount)
        elements = 0
    }
}
