import Quantization
import Tensors
import TestSupport
import Testing

extension KernelTests {
    /// What is decided for sets of up to 64 elements at once, and what such sets begin and end with.
    @Suite struct Sets {
        /// A NaN must not hide a long update from the check for them.
        @Test func longUpdatesBesideNaN() {
            var random = SeededGenerator(seed: 31)
            for round in 0..<200 {
                let codes = random.bytes(64)
                var update = random.values(128, sigma: 0.001)
                let lane = Int.random(in: 0..<16, using: &random)
                for i in stride(from: lane, to: 128, by: 16) {
                    update[i] = [0.01, .nan, -.nan, .infinity, -0x1p126, 0.5].randomElement(using: &random) ?? 0
                }
                expectTwin(codes, [0.06, -0.04], update, blocksize: 64, firstIndex: 64, "round \(round)")
            }
        }

        /// Scales that cannot be divided by easily, between others.
        @Test func scalesOfAllKinds() {
            var random = SeededGenerator(seed: 32)
            let kinds: [Float] = [0.05, -0.05, 0.07, 0, -0.0, 1e-38, 0x1p-140, 0x1p100, .infinity, .nan]
            for blocksize in [32, 64, 128, 4096] {
                for count in [1, 31, 500, 512, 513, 1040, 5003] {
                    let codes = random.bytes((count + 1) / 2)
                    let update = random.values(count, sigma: 0.001)
                    let scales = (0...count / blocksize).map { _ in kinds.randomElement(using: &random) ?? 0 }
                    expectTwin(
                        codes, scales, update, blocksize: blocksize, firstIndex: 4096, "\(count) by \(blocksize)")
                }
            }
        }

        /// Random bits are made for runs of elements; the upper half of the index may change in one.
        @Test(arguments: BlockQuantization.validBlocksizes)
        func upperHalfOfTheIndexChanges(blocksize: Int) {
            var random = SeededGenerator(seed: 33)
            let count = 2 * blocksize + 1237
            for blocks in [1, 2, 5] where blocks * blocksize <= count {
                let codes = random.bytes((count + 1) / 2)
                let scales = random.values(count / blocksize + 1, sigma: 0.1)
                let update = random.values(count, sigma: 0.004)
                expectTwin(
                    codes, scales, update, blocksize: blocksize, firstIndex: (3 << 32) - UInt64(blocks * blocksize),
                    "\(blocks) blocks before the change")
            }
        }

        /// Updates of all lengths, from those that never leave the neighbours to those that always do.
        @Test func lengthsOfUpdates() {
            var random = SeededGenerator(seed: 34)
            for sigma: Float in [0.0001, 0.001, 0.002, 0.004, 0.03, 1] {
                let codes = random.bytes(1536)
                let scales = random.values(96, sigma: 0.1)
                let update = random.values(3072, sigma: sigma)
                expectTwin(codes, scales, update, blocksize: 32, firstIndex: 0, "sigma \(sigma)")
                expectTwin(codes, scales, update, blocksize: 128, firstIndex: 0, "sigma \(sigma)")
            }
        }

        /// The nearest level is found by a grid: values at the bounds between levels and the cells' edges, and far outside.
        @Test func valuesAtBounds() {
            let levels = QuantType.nf4.levels
            var values: [Float] = [.nan, -.nan, .infinity, -.infinity, 0x1p30, -0x1p30, 0x1p126, -0x1p126, 0, -0.0]
            values += levels + zip(levels, levels.dropFirst()).map { ($0 + $1) / 2 } + (-40...40).map { Float($0) / 32 }
            values = values.flatMap { [$0.nextDown.nextDown, $0.nextDown, $0, $0.nextUp, $0.nextUp.nextUp] }
            for scale: Float in [1, 0.5] {
                for shift in [0, 1, 7, 32] {
                    let shifted = Array(values[shift...] + values[..<shift]).map { $0 * scale }
                    let scales = [Float](repeating: scale, count: shifted.count / 64 + 1)
                    let twin = Twin.quantize(
                        shifted, absmax: scales, blocksize: 64, quantType: .nf4, rounding: .nearest, firstIndex: 0)
                    KernelTests.withEachInstructionSet { set in
                        let codes = quantize(shifted, absmax: scales, blocksize: 64, quantType: .nf4)
                        #expect(differences(codes, twin).isEmpty, "scale \(scale), shift \(shift), \(set)")
                    }
                }
            }
        }

        /// Updates that end at the midpoint between two levels, or next to it.
        @Test func updatesToMidpoints() {
            var random = SeededGenerator(seed: 35)
            let levels = QuantType.nf4.levels
            let scales: [Float] = (0..<64).map { $0 % 3 == 0 ? 0.5 : Float.random(in: 0.01..<0.2, using: &random) }
            for offset: Float in [0, 0x1p-24, -0x1p-24, 0x1p-22, -0x1p-22, 0x1p-20, -0x1p-20] {
                let codes = random.bytes(2048)
                let update = Twin.unpack(codes).enumerated().map { index, code -> Float in
                    let neighbour = Bool.random(using: &random) ? min(code + 1, 15) : max(code, 1) - 1
                    let half = (levels[Int(neighbour)] - levels[Int(code)]) / 2
                    return (half + offset) * scales[index / 64]
                }
                expectTwin(codes, scales, update, blocksize: 64, firstIndex: 0, "offset \(offset)")
            }
        }

        /// A single scale or update that is no number is told of, whatever is around it: also where all else is moved at once.
        @Test(arguments: QuantType.allCases, [32, 64, 4096])
        func whatIsNoNumber(quantType: QuantType, blocksize: Int) {
            var random = SeededGenerator(seed: 36)
            for count in [1, 17, 64, 200, 513, 5003] {
                for (sigma, areUsual) in [(0.001, true), (0.001, false), (0.1, false)] as [(Float, Bool)] {
                    let codes = random.bytes((count + 1) / 2)
                    var scales = random.values(count / blocksize + 1, sigma: 0.1)
                    if areUsual { scales = scales.map { $0.magnitude + 0.05 } }
                    let update = random.values(count, sigma: sigma)
                    let place = Int.random(in: 0..<count, using: &random)
                    for bad: Float in [0.01, .greatestFiniteMagnitude, .nan, .infinity, -.infinity] {
                        var (badScales, badUpdate) = (scales, update)
                        badScales[place / blocksize] = bad
                        badUpdate[place] = bad
                        for rule in Twins.rules {
                            KernelTests.withEachInstructionSet { set in
                                for (scales, update) in [(badScales, update), (scales, badUpdate)] {
                                    var isFinite = false
                                    _ = filled(codes.count, with: UInt8.zero) {
                                        isFinite = BlockQuantizer.requantize(
                                            baseCodes: codes, absmax: scales, update: update, count: count,
                                            blocksize: blocksize, quantType: quantType, rounding: rule, firstIndex: 0,
                                            into: $0)
                                    }
                                    #expect(isFinite == bad.isFinite, "\(bad) at \(place) of \(count), \(set)")
                                }
                            }
                        }
                    }
                }
            }
        }

        private func expectTwin(
            _ codes: [UInt8], _ scales: [Float], _ update: [Float], blocksize: Int, firstIndex: UInt64,
            _ comment: String
        ) {
            for rule in Twins.rules {
                let twin = Twin.requantize(
                    codes, absmax: scales, update: update, blocksize: blocksize, quantType: .nf4, rounding: rule,
                    firstIndex: firstIndex)
                KernelTests.withEachInstructionSet { set in
                    let moved = requantize(
                        codes, absmax: scales, update: update, blocksize: blocksize, quantType: .nf4, rounding: rule,
                        firstIndex: firstIndex)
                    #expect(differences(moved, twin).isEmpty, "\(comment), \(rule), \(set)")
                }
            }
        }
    }
}
