import Kernels

/// How many errors there are of every magnitude, finely enough for percentiles.
///
/// A bucket holds the magnitudes whose float32 pattern begins with the same 16 bits, as in bfloat16: 128 buckets from one
/// power of two to the next, each 1/128 of the lower one wide. Counts are whole numbers, so histograms of parts add up to
/// that of the whole exactly, in whatever order.
public struct MagnitudeHistogram: Hashable, Sendable {
    static let bucketCount = Int(QCONV_MAGNITUDE_BUCKETS)
    /// Buckets from one power of two to the next.
    private static let bucketsAnOctave = 128

    /// The number of magnitudes counted.
    public private(set) var total = 0
    /// Magnitudes of zero, or below 1e-40: bucket 0.
    public private(set) var zeros = 0
    /// The bucket of the first of ``counts``.
    private var firstBucket = 0
    /// The buckets from the lowest that is not empty to the highest.
    private var counts: [Int] = []

    /// An empty histogram.
    public init() {}

    /// What counters hold, one for each bucket, which are zero afterwards.
    init(taking counters: UnsafeMutablePointer<UInt32>) {
        zeros = Int(counters[0])
        counters[0] = 0
        total = zeros
        // Whole octaves, so that merging rarely has to move anything.
        let width = MagnitudeHistogram.bucketsAnOctave
        let octaves = stride(from: 0, to: MagnitudeHistogram.bucketCount, by: width)
        func isUsed(_ octave: Int) -> Bool { !isZero(counters + octave, count: width) }
        guard let first = octaves.first(where: isUsed), let last = octaves.reversed().first(where: isUsed) else {
            return
        }
        let used = UnsafeMutableBufferPointer(start: counters + first, count: last + width - first)
        firstBucket = first
        counts = used.map(Int.init)
        total = counts.reduce(total, +)
        used.update(repeating: 0)
    }

    /// Counts magnitudes of zero that nobody had to look at.
    public mutating func addZeros(_ count: Int) {
        total += count
        zeros += count
    }

    /// Adds another histogram's counts.
    public mutating func merge(_ other: MagnitudeHistogram) {
        total += other.total
        zeros += other.zeros
        guard !other.counts.isEmpty else { return }
        guard !counts.isEmpty else {
            (firstBucket, counts) = (other.firstBucket, other.counts)
            return
        }
        let before = max(0, firstBucket - other.firstBucket)
        let after = max(0, other.firstBucket + other.counts.count - firstBucket - counts.count)
        if before + after > 0 {
            counts = [Int](repeating: 0, count: before) + counts + [Int](repeating: 0, count: after)
            firstBucket -= before
        }
        let offset = other.firstBucket - firstBucket
        for (index, count) in other.counts.enumerated() { counts[offset + index] += count }
    }

    /// The nearest-rank percentile: the magnitude at rank ⌈total · thousandths / 1000⌉ in ascending order, placed evenly
    /// within its bucket and so at most 0.8 % off; `nil` when nothing was counted.
    ///
    /// - Parameter maximum: The largest magnitude, which the answer will not exceed.
    public func percentile(thousandths: Int, maximum: Double) -> Double? {
        guard total > 0 else { return nil }
        // Split, because the product may not fit.
        let rank = max(1, total / 1000 * thousandths + (total % 1000 * thousandths + 999) / 1000)
        var before = zeros
        guard rank > before else { return 0 }
        for (index, count) in counts.enumerated() {
            guard before + count < rank else {
                let bucket = UInt32(firstBucket + index)
                let lower = Double(Float(bitPattern: bucket << 16))
                let upper = Double(Float(bitPattern: (bucket + 1) << 16))
                guard upper.isFinite else { return min(lower, maximum) }
                return min(lower + (upper - lower) * (Double(rank - before) - 0.5) / Double(count), maximum)
            }
            before += count
        }
        return maximum
    }

    /// The counts from one power of two to the next: the first is of magnitudes from 2^firstExponent to twice that.
    /// Without empty ones at either end.
    public var octaves: (firstExponent: Int, counts: [Int]) {
        let octaves = stride(from: 0, to: counts.count, by: MagnitudeHistogram.bucketsAnOctave).map { start in
            counts[start..<start + MagnitudeHistogram.bucketsAnOctave].reduce(0, +)
        }
        guard let first = octaves.firstIndex(where: { $0 > 0 }), let last = octaves.lastIndex(where: { $0 > 0 }) else {
            return (0, [])
        }
        // The exponent field of float32; 0 holds the subnormals.
        return (firstBucket / MagnitudeHistogram.bucketsAnOctave + first - 127, Array(octaves[first...last]))
    }
}

/// - Parameter count: A multiple of 16.
private func isZero(_ counters: UnsafePointer<UInt32>, count: Int) -> Bool {
    var union = SIMD16<UInt32>.zero
    for start in stride(from: 0, to: count, by: 16) {
        union |= UnsafeRawPointer(counters + start).loadUnaligned(as: SIMD16<UInt32>.self)
    }
    return union == .zero
}

/// What a histogram says about a tensor's errors, in the unit of the weights.
public struct MagnitudeDistribution: Hashable, Sendable {
    /// The magnitude that half of all elements do not exceed.
    public let median: Double
    /// The magnitude that 95 % of all elements do not exceed.
    public let percentile95: Double
    /// The magnitude that 99.9 % of all elements do not exceed.
    public let percentile999: Double
    /// Elements without an error (or one below 1e-40).
    public let zeros: Int
    /// The first of ``octaves`` counts magnitudes from 2^firstExponent to twice that.
    public let firstExponent: Int
    /// Elements with an error from one power of two to the next, from the smallest error to the largest.
    public let octaves: [Int]

    /// `nil` when nothing was counted.
    ///
    /// - Parameter maximum: The largest magnitude.
    public init?(_ histogram: MagnitudeHistogram, maximum: Double) {
        func percentile(_ thousandths: Int) -> Double? {
            histogram.percentile(thousandths: thousandths, maximum: maximum)
        }
        guard let median = percentile(500), let percentile95 = percentile(950), let percentile999 = percentile(999)
        else { return nil }
        self.median = median
        self.percentile95 = percentile95
        self.percentile999 = percentile999
        zeros = histogram.zeros
        (firstExponent, octaves) = histogram.octaves
    }
}
