import Quantization
import Tensors

/// The kernels once more in plain Swift, one element at a time and as the specification says it, for comparison bit for
/// bit.
enum Twin {
    static func absmax(_ values: [Float], blocksize: Int) -> [Float] {
        blocks(values.count, blocksize).map { block in
            if values[block].contains(where: \.isNaN) { return .nan }
            let largest = values[block].map(\.magnitude).max() ?? 0
            return block.count < blocksize ? max(largest, 1e-38) : largest
        }
    }

    static func quantize(
        _ values: [Float], absmax: [Float], blocksize: Int, quantType: QuantType, rounding: RoundingRule,
        firstIndex: UInt64
    ) -> [UInt8] {
        var codes: [UInt8] = []
        for (block, scale) in zip(blocks(values.count, blocksize), absmax) {
            let divisor = scale < 1e-38 ? 1e-38 : scale
            for i in block {
                let scaled = block.count == blocksize ? values[i] * (1 / divisor) : values[i] / divisor
                codes.append(round(scaled, quantType, rounding, index: firstIndex + UInt64(i)))
            }
        }
        return pack(codes, padding: quantType == .nf4 ? 7 : 0)
    }

    static func dequantize(
        _ codes: [UInt8], absmax: [Float], count: Int, blocksize: Int, quantType: QuantType
    ) -> [Float] {
        let levels = quantType.levels
        return unpack(codes).prefix(count).enumerated().map { levels[Int($1)] * absmax[$0 / blocksize] }
    }

    static func requantize(
        _ codes: [UInt8], absmax: [Float], update: [Float], blocksize: Int, quantType: QuantType,
        rounding: RoundingRule, firstIndex: UInt64
    ) -> [UInt8] {
        let levels = quantType.levels
        let all = unpack(codes)
        let merged = update.indices.map { i -> UInt8 in
            let scale = absmax[i / blocksize]
            let level = levels[Int(all[i])]
            let sum = level + update[i] / scale
            if scale == 0 || sum.isNaN { return all[i] }
            let chosen = round(sum, quantType, rounding, index: firstIndex + UInt64(i))
            return levels[Int(chosen)] == level ? all[i] : chosen
        }
        return pack(merged, padding: all.last ?? 0)
    }

    /// Rounds a scaled value to a code.
    static func round(_ scaled: Float, _ quantType: QuantType, _ rule: RoundingRule, index: UInt64) -> UInt8 {
        let order = quantType.codesByRank
        let sorted = order.map { quantType.levels[Int($0)] }
        switch rule {
        case .nearest:
            return order[quantType.midpoints.count { !(scaled <= $0) }]
        case .stochastic(let key):
            let lower = min(sorted.dropFirst().count { !(scaled < $0) }, 14)
            let probability = (scaled - sorted[lower]) / (sorted[lower + 1] - sorted[lower])
            let fraction = Float(random(key.value, index) >> 8) * 0x1p-24
            let chosen = fraction >= probability ? lower : lower + 1
            // Both of FP4's zeros are written as code 0.
            return sorted[chosen] == 0 && quantType == .fp4 ? 0 : order[chosen]
        }
    }

    /// The random function of stochastic rounding.
    static func random(_ key: UInt64, _ index: UInt64) -> UInt32 {
        var z = key &+ (index >> 32) &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        z ^= z >> 31
        var x = UInt32(truncatingIfNeeded: index) &+ UInt32(truncatingIfNeeded: z)
        x ^= x >> 17
        x &*= 0xED5A_D4BB
        x ^= UInt32(z >> 32)
        x ^= x >> 11
        x &*= 0xAC4C_1B51
        x ^= x >> 15
        x &*= 0x3184_8BAB
        return x ^ (x >> 14)
    }

    static func quantizeScales(_ absmax: [Float], offset: Float) -> (codes: [UInt8], nestedAbsmax: [Float]) {
        let codebook = DoubleQuantizer.codebook
        let midpoints = zip(codebook, codebook.dropFirst()).map { 0.5 * ($0 + $1) }
        var codes: [UInt8] = []
        var nested: [Float] = []
        for block in blocks(absmax.count, 256) {
            let centred = absmax[block].map { $0 - offset }
            let largest = centred.map(\.magnitude).filter { !$0.isNaN }.max() ?? 0
            nested.append(largest)
            for value in centred {
                guard largest > 0 else {
                    codes.append(0)
                    continue
                }
                let scaled = value * (1 / largest)
                let clamped = scaled < -1 ? -1 : scaled > 1 ? 1 : scaled
                let position = Float(0.5).addingProduct((clamped + 1) * 0.5, 65535)
                let gridPoint = Float(2 * (position.isNaN ? 0 : Int(position))) / 65535 - 1
                codes.append(UInt8(midpoints.count { $0 < gridPoint }))
            }
        }
        return (codes, nested)
    }

    static func lowRankUpdate(
        left: [Float], right: [Float], rank: Int, columns: Int, scaling: Float, range: Range<Int>, onto update: [Float]?
    ) -> [Float] {
        range.enumerated().map { offset, i in
            var sum: Float = 0
            for k in 0..<rank {
                sum = sum.addingProduct(left[i / columns * rank + k], right[k * columns + i % columns])
            }
            return if let update { update[offset] + sum * scaling } else { sum * scaling }
        }
    }

    static func errorSums(base: [Float], update: [Float]?, written: [Float]) -> ErrorSums {
        var sums = ErrorSums()
        sums.count = base.count
        var lanes = [ErrorSums](repeating: ErrorSums(), count: 8)
        for i in base.indices {
            let b = Double(base[i])
            let w = Double(written[i])
            let d = Double(update?[i] ?? 0)
            let e = b + d
            if !e.isFinite {
                sums.nonFiniteExact += 1
            } else if !w.isFinite {
                sums.nonFiniteWritten += 1
            } else {
                lanes[i % 8].squaredError += (w - e) * (w - e)
                lanes[i % 8].squaredExact += e * e
                lanes[i % 8].squaredWritten += w * w
                lanes[i % 8].writtenDotExact += w * e
                lanes[i % 8].squaredBase += b * b
                lanes[i % 8].squaredUpdate += d * d
                lanes[i % 8].changeDotUpdate += (w - b) * d
                sums.maxAbsError = max(sums.maxAbsError, abs(w - e))
            }
        }
        let summed: [WritableKeyPath<ErrorSums, Double>] = [
            \.squaredError, \.squaredExact, \.squaredWritten, \.writtenDotExact, \.squaredBase, \.squaredUpdate,
            \.changeDotUpdate,
        ]
        for sum in summed {
            sums[keyPath: sum] = tree(lanes.map { $0[keyPath: sum] })
        }
        return sums
    }

    /// The sums of values that were quantized, as the kernel adds them up on the way.
    static func quantizeSums(_ values: [Float], written: [Float]) -> ErrorSums {
        let errors = zip(values, written).map { $1 - $0 }
        let (base, square, error) = (runSum(values, values), runSum(written, written), runSum(errors, errors))
        var sums = ErrorSums()
        sums.count = values.count
        sums.squaredBase = base
        sums.squaredExact = base
        sums.squaredWritten = square
        sums.squaredError = error
        sums.writtenDotExact = ((base + square) - error) / 2
        sums.maxAbsError = Double(errors.map(\.magnitude).max() ?? 0)
        let isNarrow = !isInRange(base) || !isInRange(square) || sums.maxAbsError > 0 && !isInRange(error)
        return isNarrow ? errorSums(base: values, update: nil, written: written) : sums
    }

    /// The sums of elements that are compared.
    static func comparisonSums(_ a: [Float], _ b: [Float]) -> ErrorSums {
        a.count < 4096 ? errorSums(base: a, update: nil, written: b) : quantizeSums(a, written: b)
    }

    /// The sums of codes that were moved by an update, as the kernel adds them up on the way.
    static func mergeSums(
        _ codes: [UInt8], update: [Float], moved: [UInt8], absmax: [Float], blocksize: Int, quantType: QuantType
    ) -> ErrorSums {
        let base = dequantize(codes, absmax: absmax, count: update.count, blocksize: blocksize, quantType: quantType)
        let written = dequantize(
            moved, absmax: absmax, count: update.count, blocksize: blocksize, quantType: quantType)
        let levels = quantType.levels
        let change = zip(unpack(codes), unpack(moved)).prefix(update.count).enumerated().map { i, pair in
            (levels[Int(pair.1)] - levels[Int(pair.0)]) * absmax[i / blocksize]
        }
        let (bb, bd, dd) = (runSum(base, base), runSum(base, update), runSum(update, update))
        let (bx, dx, xx) = (runSum(base, change), runSum(update, change), runSum(change, change))
        let isNarrow = !isInRange(bb) || !isInRange(dd) || xx != 0 && !isInRange(xx)
        guard !isNarrow else { return errorSums(base: base, update: update, written: written) }
        var sums = ErrorSums()
        sums.count = base.count
        sums.squaredBase = bb
        sums.squaredUpdate = dd
        sums.changeDotUpdate = dx
        sums.squaredError = max(0, (xx - dx) + (dd - dx))
        sums.squaredExact = max(0, (bb + bd) + (dd + bd))
        sums.squaredWritten = max(0, (bb + bx) + (xx + bx))
        sums.writtenDotExact = (bb + bx) + (bd + dx)
        sums.maxAbsError = Double(zip(change, update).map { ($0 - $1).magnitude }.max() ?? 0)
        return sums
    }

    private static func isInRange(_ sum: Double) -> Bool { sum > 0x1p-80 && sum < 0x1p120 }

    /// Σ a · b: in float32 over runs of 512 elements, in float64 from run to run, each of 16 lanes for itself.
    private static func runSum(_ a: [Float], _ b: [Float]) -> Double {
        let lanes = (0..<16).map { lane in
            stride(from: 0, to: a.count, by: 512).reduce(0.0) { total, start in
                let run = stride(from: start + lane, to: min(start + 512, a.count), by: 16)
                return total + Double(run.reduce(Float.zero) { $0.addingProduct(a[$1], b[$1]) })
            }
        }
        let halves = (0..<8).map { lanes[$0] + lanes[$0 + 8] }
        return tree(halves)
    }

    /// The sum of eight lanes.
    private static func tree(_ lane: [Double]) -> Double {
        ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]))
    }

    static func unpack(_ codes: [UInt8]) -> [UInt8] { codes.flatMap { [$0 >> 4, $0 & 15] } }

    static func pack(_ codes: [UInt8], padding: UInt8) -> [UInt8] {
        let padded = codes.count % 2 == 0 ? codes : codes + [padding]
        return stride(from: 0, to: padded.count, by: 2).map { padded[$0] << 4 | padded[$0 + 1] }
    }

    private static func blocks(_ count: Int, _ blocksize: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: blocksize).map { $0..<min($0 + blocksize, count) }
    }
}
