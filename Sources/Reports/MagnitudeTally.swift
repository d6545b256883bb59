import Kernels
import Quantization

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
        counters = .allocate(capacity: Int(QCONV_MAGNITUDE_COUNTERS))
        counters.initialize(repeating: 0, count: Int(QCONV_MAGNITUDE_COUNTERS))
    }

    deinit {
        counters.deallocate()
    }

    /// Counts |b − a|, rounded to float32, where both are finite; answers what else there is to count, and the sums of b
    /// against a: of fewer than 4096 elements in float64, of more as in
    /// ``Quantization/BlockQuantizer/quantizeMeasuring(_:absmax:writtenAbsmax:count:blocksize:quantType:rounding:firstIndex:into:)``.
    public func add(
        _ a: MeasuredElements, _ b: MeasuredElements, count: Int
    ) -> (sums: ErrorSums, counts: DifferenceCounts) {
        makeRoom(for: count)
        var found = qconv_difference_counts()
        var sums = qconv_error_sums()
        a.withKernelForm { a in
            b.withKernelForm { b in qconv_compare_elements(a, b, count, counters, &found, &sums) }
        }
        var counts = DifferenceCounts()
        counts.changed = found.changed
        counts.nanA = found.nan_a
        counts.infiniteA = found.infinite_a
        counts.nanB = found.nan_b
        counts.infiniteB = found.infinite_b
        counts.nonFiniteMismatches = found.non_finite_mismatches
        return (ErrorSums(sums, count: count), counts)
    }

    /// Counts float64 values in the same way. Differences are taken in float64, then rounded to float32.
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
        overflow.merge(MagnitudeHistogram(taking: counters))
        elements = 0
    }
}
