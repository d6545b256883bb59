import Adapters
import Quantization
import Reports
import Tensors

/// Compares runs of elements, one after the other, with memory of its own.
final class PairWorker {
    /// About how many elements go through together: few enough for a core's own cache, and so many that even 4-bit codes are
    /// worth reading in place.
    static let chunkElements = 1 << 17
    /// Bytes of memory for each element of capacity, an upper bound over all encodings.
    static let bytesPerElement = 2 * TensorSlice.bytesPerElement + 4
    /// The same where values are compared in float64.
    static let bytesPerElementInFloat64 = 2 * TensorSlice.bytesPerElementInFloat64 + 4

    /// The magnitudes of the pair in hand.
    let tally = MagnitudeTally()
    private let plan: ComparisonPlan
    private let a: TensorSlice
    private let b: TensorSlice
    /// The updates of the pair in hand.
    private var updates: [LowRankUpdate] = []
    /// Where the update's values go.
    private let updateValues: UnsafeMutablePointer<Float>

    init(plan: ComparisonPlan, capacity: Int) {
        self.plan = plan
        a = TensorSlice(capacity: capacity)
        b = TensorSlice(capacity: capacity)
        updateValues = .allocate(capacity: plan.adapter == nil ? 1 : max(capacity, 1))
    }

    deinit {
        updateValues.deallocate()
    }

    /// Gets ready for the elements of a pair.
    func open(_ pair: TensorPair) throws {
        updates = try pair.changes.compactMap { try plan.adapter?.addedFactors(of: $0) }.map(LowRankUpdate.init)
    }

    /// Compares a range of elements. Their magnitudes go to ``tally``.
    func compare(_ pair: TensorPair, _ range: Range<Int>, onRead: (Int) -> Void) throws -> PartialDifference {
        var difference = PartialDifference()
        guard let sides = pair.comparable else { return difference }
        try a.hold(range, of: sides.a, from: plan.a.reader) {
            try b.hold(range, of: sides.b, from: plan.b.reader) {
                difference.isIdentical = pair.hasOneEncoding && a.hasBytes(of: b)
                switch pair.arithmetic {
                case .float32: compareInFloat32(range, &difference)
                case .float64: compareInFloat64(range, &difference)
                case .bytes: compareBytes(pair, &difference)
                }
            }
        }
        onRead(a.byteCount + b.byteCount)
        return difference
    }

    private func compareInFloat32(_ range: Range<Int>, _ difference: inout PartialDifference) {
        a.decodeScales()
        b.decodeScales()
        (difference.sums, difference.counts) = tally.add(a.elements, b.elements, count: range.count)
        compareCodes(&difference)
        guard let update = makeUpdate(range) else { return }
        difference.sumsWithUpdate = ErrorSums(
            base: a.elements, update: update, written: b.elements, count: range.count)
        difference.squaredStep = squaredStep
    }

    private func compareInFloat64(_ range: Range<Int>, _ difference: inout PartialDifference) {
        a.decodeToFloat64()
        b.decodeToFloat64()
        let (base, written) = (UnsafePointer(a.doubles), UnsafePointer(b.doubles))
        difference.sums = ErrorSums(base: base, update: nil, written: written, count: range.count)
        difference.counts = tally.add(base, written, count: range.count)
        if a.encoding == b.encoding, case .dense(let dtype) = a.encoding, !dtype.isFloatingPoint {
            // A float64 does not tell all 64-bit integers apart.
            difference.counts.changed = a.differingElements(from: b, width: dtype.bits / 8)
        } else if a.encoding.hasWideIntegers || b.encoding.hasWideIntegers {
            difference.counts.changed = (0..<range.count).count { a.exactNumber(at: $0) != b.exactNumber(at: $0) }
        }
        guard let update = makeUpdate(range) else { return }
        difference.sumsWithUpdate = ErrorSums(base: base, update: update, written: written, count: range.count)
        difference.squaredStep = squaredStep
    }

    /// Of elements that cannot be decoded, those of whole bytes can be counted if they differ.
    private func compareBytes(_ pair: TensorPair, _ difference: inout PartialDifference) {
        guard pair.hasOneEncoding, case .dense(let dtype) = a.encoding, dtype.bits % 8 == 0 else { return }
        difference.counts.changed = a.differingElements(from: b, width: dtype.bits / 8)
    }

    private func compareCodes(_ difference: inout PartialDifference) {
        guard let grid = a.encoding.blockQuantization, let other = b.encoding.blockQuantization,
            grid.hasGrid(of: other)
        else { return }
        difference.codesChanged = BlockQuantizer.changedCodes(a.codes, b.codes, count: a.count)
        for block in 0..<grid.blockCount(elements: a.count) where a.scales[block] != b.scales[block] {
            difference.scalesChanged += a.scales[block].isNaN && b.scales[block].isNaN ? 0 : 1
        }
    }

    /// The update of the elements in hand; `nil` when the adapter brings none.
    private func makeUpdate(_ range: Range<Int>) -> UnsafePointer<Float>? {
        guard !updates.isEmpty else { return nil }
        for (index, update) in updates.enumerated() {
            update.compute(range, accumulate: index > 0, into: updateValues)
        }
        return UnsafePointer(updateValues)
    }

    /// Σ over all elements of the squared distance between neighbouring levels, on average over the levels: of a, or of
    /// b when only that is 4-bit.
    private var squaredStep: Double {
        guard let slice = [a, b].first(where: { $0.encoding.blockQuantization != nil }),
            let quantization = slice.encoding.blockQuantization
        else { return 0 }
        // From −1 to 1.
        let distance = 2 / Double(Set(quantization.quantType.levels).count - 1)
        var sum = 0.0
        for block in 0..<quantization.blockCount(elements: slice.count) {
            let length = min(quantization.blocksize, slice.count - block * quantization.blocksize)
            let step = Double(slice.scales[block]) * distance
            sum += step * step * Double(length)
        }
        return sum
    }
}
