import Adapters
import Quantization
import Reports
import Tensors

/// An update that a tensor's change may come from: one that the adapter has for a tensor of that shape.
enum UpdateHypothesis: Hashable, Sendable {
    /// What the configuration says.
    case asConfigured(AdapterMatch)
    /// The same, transposed.
    case transposed(AdapterMatch)
}

/// Fits changes of tensors to updates, run by run, with memory of its own.
final class FitWorker: ChunkWorker {
    /// About how many elements go through together: few enough for a core's own cache, decoded and with what is made of them.
    static let chunkElements = 1 << 15
    /// Bytes of memory for each element of capacity, an upper bound over all encodings.
    static let bytesPerElement = 2 * TensorSlice.bytesPerElementDecoded + 3 * 4 + 1 + 1

    /// A tensor and what its change is fitted to.
    struct Item: Sendable {
        let pair: TensorPair
        /// What is added up; empty for a tensor that the adapter leaves alone.
        let updates: [UpdateHypothesis]
        /// Whether to ask what rounding would have made of the update.
        let predictsRounding: Bool
    }

    private let plan: ComparisonPlan
    private let items: [Item]
    private let a: TensorSlice
    private let b: TensorSlice
    private var updates: [LowRankUpdate] = []
    private let updateValues: UnsafeMutablePointer<Float>
    private let rounded: UnsafeMutablePointer<Float>
    private let exact: UnsafeMutablePointer<Float>
    private let codes: UnsafeMutablePointer<UInt8>
    private let freshScales: UnsafeMutablePointer<Float>

    init(plan: ComparisonPlan, items: [Item], capacity: Int) {
        self.plan = plan
        self.items = items
        a = TensorSlice(capacity: capacity)
        b = TensorSlice(capacity: capacity)
        updateValues = .allocate(capacity: max(capacity, 1))
        exact = .allocate(capacity: max(capacity, 1))
        rounded = .allocate(capacity: max(capacity, 1))
        codes = .allocate(capacity: capacity / 2 + 1)
        freshScales = .allocate(capacity: capacity / BlockQuantization.validBlocksizes[0] + 1)
    }

    deinit {
        updateValues.deallocate()
        exact.deallocate()
        rounded.deallocate()
        codes.deallocate()
        freshScales.deallocate()
    }

    func open(item: Int) throws {
        updates = try items[item].updates.compactMap { try plan.adapter?.factors($0) }.map(LowRankUpdate.init)
    }

    func close(item: Int) {}

    func measure(item: Int, _ range: Range<Int>, onRead: (Int) -> Void) throws -> FitSums {
        var sums = FitSums()
        guard let sides = items[item].pair.comparable else { return sums }
        try a.hold(range, of: sides.a, from: plan.a.reader, a.decode)
        try b.hold(range, of: sides.b, from: plan.b.reader, b.decode)
        let (base, merged) = (UnsafePointer(a.values), UnsafePointer(b.values))
        sums.change = ErrorSums(base: base, update: nil, written: merged, count: range.count)
        sums.nonFiniteMismatches = nonFiniteMismatches(sums.change)
        sums.changedOnOneGrid = changedOnOneGrid
        for (index, update) in updates.enumerated() {
            update.compute(range, accumulate: index > 0, into: updateValues)
        }
        if !updates.isEmpty {
            sums.update = ErrorSums(base: base, update: updateValues, written: merged, count: range.count)
        } else {
            updateValues.update(repeating: 0, count: range.count)
        }
        if items[item].predictsRounding { predictRounding(&sums, count: range.count) }
        onRead(a.byteCount + b.byteCount)
        return sums
    }

    /// Elements that are not finite on one side and something else on the other.
    private func nonFiniteMismatches(_ change: ErrorSums) -> Int {
        guard change.comparedCount < change.count else { return 0 }
        return (0..<change.count).count { index in
            let (before, after) = (a.values[index], b.values[index])
            guard !before.isFinite || !after.isFinite else { return false }
            return before != after && !(before.isNaN && after.isNaN)
        }
    }

    /// Elements that changed where both sides have the same 4-bit levels and the same scale.
    private var changedOnOneGrid: Int {
        guard let grid = a.encoding.blockQuantization, let other = b.encoding.blockQuantization,
            grid.hasGrid(of: other)
        else { return 0 }
        var changed = 0
        for block in 0..<grid.blockCount(elements: a.count) {
            guard a.scales[block].isFinite, a.scales[block] == b.scales[block] else { continue }
            let start = block * grid.blocksize
            for index in start..<min(start + grid.blocksize, a.count) where a.values[index] != b.values[index] {
                changed += 1
            }
        }
        return changed
    }

    /// Rounds the exact result as a right merge would have.
    private func predictRounding(_ sums: inout FitSums, count: Int) {
        for index in 0..<count { exact[index] = a.values[index] + updateValues[index] }
        switch (a.encoding, b.encoding) {
        case (_, .blockQuantized(let grid)):
            round(to: grid, scales: b.scales, count: count)
            sums.nearest = roundedSums(count: count)
            sums.unbiasedVariance = unbiasedVariance(grid, count: count)
        case (let base, .dense(let dtype)):
            if FloatConversion.canEncode(dtype) {
                rounded.update(from: exact, count: count)
                FloatConversion.round(rounded, count: count, to: dtype)
                sums.nearest = roundedSums(count: count)
            }
            // A merge in 4 bit may have been decoded afterwards.
            guard let grid = base.blockQuantization else { return }
            round(to: grid, scales: a.scales, count: count)
            sums.nearestOnBaseScales = roundedSums(count: count)
            BlockQuantizer.absmax(exact, count: count, blocksize: grid.blocksize, into: freshScales)
            round(to: grid, scales: freshScales, count: count)
            sums.nearestOnFreshScales = roundedSums(count: count)
        }
    }

    /// Rounds the exact results to the nearest levels.
    private func round(to grid: BlockQuantization, scales: UnsafePointer<Float>, count: Int) {
        BlockQuantizer.quantize(
            exact, absmax: scales, count: count, blocksize: grid.blocksize, quantType: grid.quantType,
            rounding: .nearest, firstIndex: 0, into: codes)
        BlockQuantizer.dequantize(
            codes, absmax: scales, count: count, blocksize: grid.blocksize, quantType: grid.quantType, into: rounded)
    }

    private func roundedSums(count: Int) -> RoundedSums {
        let (base, q) = (UnsafePointer(a.values), UnsafePointer(rounded))
        let change = ErrorSums(base: base, update: nil, written: q, count: count)
        let update = ErrorSums(base: base, update: updateValues, written: q, count: count)
        let mismatch = ErrorSums(base: q, update: nil, written: b.values, count: count)
        return RoundedSums(
            squaredChange: change.squaredError, changeDotUpdate: update.changeDotUpdate,
            squaredError: update.squaredError, squaredMismatch: mismatch.squaredError)
    }

    /// Σ (x − l)(u − x) over the exact results x, with l ≤ x ≤ u neighbouring levels of the merged model. What lies beyond
    /// the outermost level counts with its squared distance.
    private func unbiasedVariance(_ quantization: BlockQuantization, count: Int) -> Double {
        let steps = LevelSteps(quantization.quantType)
        var sum = 0.0
        for block in 0..<quantization.blockCount(elements: count) {
            let scale = Double(b.scales[block])
            guard scale.isFinite, scale != 0 else { continue }
            let start = block * quantization.blocksize
            for index in start..<min(start + quantization.blocksize, count) {
                let byte = codes[index / 2]
                // In units of the scale, so that a negative one needs no special care.
                let offset = Double(exact[index] - rounded[index]) / scale
                let distance = abs(offset)
                let step = steps.step(from: Int(index % 2 == 0 ? byte >> 4 : byte & 15), upwards: offset > 0)
                let variance = step > distance ? distance * (step - distance) : distance * distance
                sum += variance.isFinite ? variance * scale * scale : 0
            }
        }
        return sum
    }
}

/// How far the next level is from each code's, in units of the scale; 0 beyond the outermost levels.
private struct LevelSteps {
    private let upwards: [Double]
    private let downwards: [Double]

    init(_ quantType: QuantType) {
        let levels = quantType.levels.map(Double.init)
        upwards = levels.map { level in (levels.filter { $0 > level }.min() ?? level) - level }
        downwards = levels.map { level in level - (levels.filter { $0 < level }.max() ?? level) }
    }

    func step(from code: Int, upwards isUpwards: Bool) -> Double { isUpwards ? upwards[code] : downwards[code] }
}

extension LoRAAdapter {
    /// The factors that a hypothesis speaks of.
    fileprivate func factors(_ hypothesis: UpdateHypothesis) throws -> LowRankFactors? {
        switch hypothesis {
        case .asConfigured(let match): try addedFactors(of: match)
        case .transposed(let match): try addedFactors(of: match)?.transposed
        }
    }
}
