import Quantization
import Tensors
import TestSupport
import Testing

extension KernelTests {
    /// Errors that are added up while codes are made: the codes of the plain call, and the sums of plain Swift, bit for bit.
    @Suite struct Measuring {
        static let counts = [1, 2, 15, 16, 17, 63, 64, 65, 127, 255, 256, 257, 300, 511, 513, 1000, 4099]

        /// Values as models have them, and such that float32 sums would be too narrow for.
        enum Magnitudes: CaseIterable {
            case usual, withZeros, tiny, huge, notFinite, withoutUpdate

            func change(_ values: inout [Float], update: inout [Float]) {
                switch self {
                case .usual: break
                case .withZeros: for i in 0..<min(values.count, 70) { values[i] = i % 3 == 0 ? -0.0 : 0 }
                case .tiny:
                    values = values.map { $0 * 0x1p-100 }
                    update = update.map { $0 * 0x1p-100 }
                case .huge:
                    values = values.map { $0 * 0x1p90 }
                    update = update.map { $0 * 0x1p90 }
                case .notFinite:
                    values[values.count / 2] = .nan
                    update[update.count - 1] = .infinity
                case .withoutUpdate: update = update.map { _ in 0 }
                }
            }
        }

        @Test(arguments: QuantType.allCases, Magnitudes.allCases)
        func quantizing(quantType: QuantType, magnitudes: Magnitudes) {
            var random = SeededGenerator(seed: 21)
            for (count, blocksize) in zip(Self.counts, [32, 64, 4096, 64, 128].cycled) {
                var values = random.values(count, sigma: 0.02)
                var none: [Float] = [0]
                magnitudes.change(&values, update: &none)
                let scales = Twin.absmax(values, blocksize: blocksize)
                let written = scales.map { $0 * Float.random(in: 0.97...1.03, using: &random) }
                let firstIndex = UInt64(blocksize) * UInt64.random(in: 0..<1 << 40, using: &random)
                for rule in Twins.rules {
                    let codes = Twin.quantize(
                        values, absmax: scales, blocksize: blocksize, quantType: quantType, rounding: rule,
                        firstIndex: firstIndex)
                    let decoded = Twin.dequantize(
                        codes, absmax: written, count: count, blocksize: blocksize, quantType: quantType)
                    let twin = Twin.quantizeSums(values, written: decoded)
                    KernelTests.withEachInstructionSet { set in
                        var sums = ErrorSums()
                        let measured = filled(codes.count, with: UInt8(0xEE)) {
                            sums = BlockQuantizer.quantizeMeasuring(
                                values, absmax: scales, writtenAbsmax: written, count: count, blocksize: blocksize,
                                quantType: quantType, rounding: rule, firstIndex: firstIndex, into: $0)
                        }
                        #expect(differences(measured, codes).isEmpty, "\(count) elements, \(set)")
                        #expect(sums == twin, "\(count) elements, \(set)")
                    }
                    expectClose(twin, Twin.errorSums(base: values, update: nil, written: decoded))
                }
            }
        }

        @Test(arguments: QuantType.allCases, Magnitudes.allCases)
        func merging(quantType: QuantType, magnitudes: Magnitudes) {
            var random = SeededGenerator(seed: 22)
            for (count, blocksize) in zip(Self.counts, [64, 32, 4096, 64, 128].cycled) {
                for sigma: Float in [0.0003, 0.02] {
                    var values = random.values(count, sigma: 0.02)
                    var update = random.values(count, sigma: sigma)
                    magnitudes.change(&values, update: &update)
                    var scales = Twin.absmax(values.map { $0.isNaN ? 0.03 : $0 }, blocksize: blocksize)
                    if count > 1000 { scales[scales.count / 2] = 0 }
                    let codes = random.bytes((count + 1) / 2)
                    let base = Twin.dequantize(
                        codes, absmax: scales, count: count, blocksize: blocksize, quantType: quantType)
                    let firstIndex = UInt64(blocksize) * UInt64.random(in: 0..<1 << 40, using: &random)
                    for rule in Twins.rules {
                        let moved = Twin.requantize(
                            codes, absmax: scales, update: update, blocksize: blocksize, quantType: quantType,
                            rounding: rule, firstIndex: firstIndex)
                        let written = Twin.dequantize(
                            moved, absmax: scales, count: count, blocksize: blocksize, quantType: quantType)
                        let twin = Twin.mergeSums(
                            codes, update: update, moved: moved, absmax: scales, blocksize: blocksize,
                            quantType: quantType)
                        KernelTests.withEachInstructionSet { set in
                            var sums = ErrorSums()
                            let measured = filled(codes.count, with: UInt8(0xEE)) {
                                sums = BlockQuantizer.requantizeMeasuring(
                                    baseCodes: codes, absmax: scales, update: update, count: count,
                                    blocksize: blocksize, quantType: quantType, rounding: rule,
                                    firstIndex: firstIndex, into: $0)
                            }
                            #expect(differences(measured, moved).isEmpty, "\(count) elements, \(set)")
                            #expect(sums == twin, "\(count) elements, \(set)")
                        }
                        expectClose(twin, Twin.errorSums(base: base, update: update, written: written))
                    }
                }
            }
        }

        /// Stochastic rounding decides without dividing where that is certain, and the rest, one element in 100,000, must
        /// come out the same too.
        @Test func closeDecisions() {
            var random = SeededGenerator(seed: 23)
            let rule = Twins.rules[1]
            guard case .stochastic(let key) = rule else { return }
            let levels = QuantType.nf4.levels
            for round in 0..<40 {
                let (codes, scales) = (random.bytes(128), random.values(4, sigma: 0.1))
                let all = Twin.unpack(codes)
                let firstIndex = UInt64(round) * 256
                // Updates that reach the random part of the gap to the next level to within a few units in the last place.
                let update = (0..<256).map { i -> Float in
                    let (code, down) = (Int(all[i]), Bool.random(using: &random))
                    let neighbour = down ? max(code - 1, 0) : min(code + 1, 15)
                    let fraction = Float(Twin.random(key.value, firstIndex + UInt64(i)) >> 8) * 0x1p-24
                    let part = (down ? 1 - fraction : fraction) * (levels[neighbour] - levels[code])
                    return scales[i / 64] * part * (1 + Float(Int.random(in: -4...4, using: &random)) * 0x1p-23)
                }
                let twin = Twin.requantize(
                    codes, absmax: scales, update: update, blocksize: 64, quantType: .nf4, rounding: rule,
                    firstIndex: firstIndex)
                KernelTests.withEachInstructionSet { set in
                    let merged = requantize(
                        codes, absmax: scales, update: update, blocksize: 64, quantType: .nf4, rounding: rule,
                        firstIndex: firstIndex)
                    #expect(differences(merged, twin).isEmpty, "round \(round), \(set)")
                }
            }
        }

        /// Adding in float32 over short runs costs less accuracy than any report shows.
        private func expectClose(_ sums: ErrorSums, _ exact: ErrorSums) {
            let scale = exact.squaredBase + exact.squaredUpdate + exact.squaredWritten
            let pairs = [
                (sums.squaredBase, exact.squaredBase), (sums.squaredUpdate, exact.squaredUpdate),
                (sums.squaredError, exact.squaredError), (sums.squaredExact, exact.squaredExact),
                (sums.squaredWritten, exact.squaredWritten), (sums.writtenDotExact, exact.writtenDotExact),
                (sums.changeDotUpdate, exact.changeDotUpdate),
            ]
            for (sum, exact) in pairs { #expect(abs(sum - exact) <= 1e-6 * scale) }
            #expect(abs(sums.maxAbsError - exact.maxAbsError) <= 1e-6 * exact.maxAbsError)
            #expect(sums.count == exact.count && sums.nonFiniteExact == exact.nonFiniteExact)
            #expect(sums.nonFiniteWritten == exact.nonFiniteWritten)
        }
    }
}

extension Array {
    /// The elements over and over.
    fileprivate var cycled: some Sequence<Element> {
        sequence(state: 0) { index in
            defer { index += 1 }
            return self[index % count]
        }
    }
}
