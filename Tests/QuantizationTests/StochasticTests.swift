import Quantization
import Tensors
import TestSupport
import Testing

extension KernelTests {
    /// Statistics of stochastic rounding. All seeds are fixed, so a test that passes always passes.
    @Suite struct Stochastic {
        @Test(arguments: QuantType.allCases)
        func unbiased(quantType: QuantType) {
            var random = SeededGenerator(seed: 5)
            let values = random.values(63, sigma: 0.3).map { min(max($0, -1), 1) } + [1]
            let levels = quantType.levels
            let trials = 4000
            var sums = [Double](repeating: 0, count: 64)
            for seed in 0..<trials {
                let rule = RoundingRule.stochastic(StochasticKey(seed: UInt64(seed), tensorName: "weight"))
                let codes = Twin.unpack(
                    quantize(values, absmax: [1], blocksize: 64, quantType: quantType, rounding: rule))
                for i in 0..<64 { sums[i] += Double(levels[Int(codes[i])]) }
            }
            var squaredDeviations = 0.0
            var deviating = 0.0
            let sorted = levels.sorted()
            for i in 0..<64 {
                let lower = Double(sorted.last { $0 <= values[i] } ?? -1)
                let upper = Double(sorted.first { $0 > values[i] } ?? 1)
                let variance = (Double(values[i]) - lower) * (upper - Double(values[i])) / Double(trials)
                guard variance > 1e-12 else { continue }
                let deviation = (sums[i] / Double(trials) - Double(values[i])) / variance.squareRoot()
                #expect(abs(deviation) < 4, "element \(i) is off by \(deviation) standard errors")
                squaredDeviations += deviation * deviation
                deviating += 1
            }
            // Chi-square with as many degrees of freedom as elements: within four standard deviations.
            #expect(abs(squaredDeviations - deviating) < 4 * (2 * deviating).squareRoot())
        }

        @Test func uniform() {
            // 256 bins of the upper bits, expecting 1024 in each.
            for key in [0, 1, 0xDEAD_BEEF_0123_4567, StochasticKey(seed: 0, tensorName: "a").value] as [UInt64] {
                for start in [0, 1 << 31, (1 << 32) * 5 + 64] as [UInt64] {
                    var bins = [Int](repeating: 0, count: 256)
                    for index in start..<start + 262_144 { bins[Int(Twin.random(key, index) >> 24)] += 1 }
                    let chiSquare = bins.reduce(0.0) { $0 + Double(($1 - 1024) * ($1 - 1024)) / 1024 }
                    #expect(chiSquare > 255 - 5 * 22.6 && chiSquare < 255 + 5 * 22.6, "\(key) \(start)")
                }
            }
        }

        @Test func neighboursAreUnrelated() {
            let key = StochasticKey(seed: 0, tensorName: "model.layers.0.self_attn.q_proj.weight").value
            let stream = fractions(key)
            for distance in [1, 2, 3, 8, 16, 64, 1024, 4096] {
                let shifted = Array(stream[distance...])
                #expect(abs(correlation(stream, shifted)) < 4.5, "elements \(distance) apart")
            }
        }

        @Test func tensorsAndSeedsAreUnrelated() {
            let first = fractions(StochasticKey(seed: 0, tensorName: "model.layers.0.mlp.up_proj.weight").value)
            for layer in 1..<20 {
                let key = StochasticKey(seed: 0, tensorName: "model.layers.\(layer).mlp.up_proj.weight")
                #expect(abs(correlation(first, fractions(key.value))) < 4.5, "layer \(layer)")
            }
            for seed in 1..<20 as Range<UInt64> {
                let key = StochasticKey(seed: seed, tensorName: "model.layers.0.mlp.up_proj.weight")
                #expect(abs(correlation(first, fractions(key.value))) < 4.5, "seed \(seed)")
            }
        }

        @Test func everyKeyAndIndexBitMatters() {
            var random = SeededGenerator(seed: 8)
            var flipped = [Int](repeating: 0, count: 128)
            let trials = 2000
            for _ in 0..<trials {
                let (key, index) = (random.next(), random.next())
                let before = Twin.random(key, index)
                for bit in 0..<64 {
                    flipped[bit] += (before ^ Twin.random(key ^ 1 << bit, index)).nonzeroBitCount
                    flipped[64 + bit] += (before ^ Twin.random(key, index ^ 1 << bit)).nonzeroBitCount
                }
            }
            for (bit, count) in flipped.enumerated() {
                let mean = Double(count) / Double(trials)
                #expect(abs(mean - 16) < 0.35, "input bit \(bit) flips \(mean) of 32 output bits")
            }
        }

        /// The one in formats/bitsandbytes-4bit.md.
        @Test func workedVector() {
            let key = StochasticKey(seed: 0, tensorName: "weight").value
            #expect(key == 0xB550_DD7D_6C20_F7A5)
            let indices: [UInt64] = [0, 1, 2, 3, 64, 1 << 32, (1 << 32) + 1]
            #expect(
                indices.map { Twin.random(key, $0) } == [
                    0xE237_6D00, 0xAD18_C48C, 0xC852_052F, 0xE50B_B0D1, 0x710B_DE7A, 0xFB5A_6A8D, 0x4B56_A6F5,
                ])
            let rule = RoundingRule.stochastic(StochasticKey(seed: 0, tensorName: "weight"))
            let values = [Float](repeating: 0.13, count: 127) + [1]
            let codes = Twin.unpack(quantize(values, absmax: [1, 1], blocksize: 64, quantType: .nf4, rounding: rule))
            #expect([codes[0], codes[1], codes[2], codes[64]] == [8, 8, 8, 9])
        }

        @Test(arguments: QuantType.allCases)
        func chunksDoNotShow(quantType: QuantType) {
            var random = SeededGenerator(seed: 9)
            let values = random.values(64 * 20 + 13, sigma: 0.02)
            let scales = absmax(values, blocksize: 64)
            let rule = RoundingRule.stochastic(StochasticKey(seed: 1, tensorName: "weight"))
            // Around the place where the upper half of the index changes.
            let firstIndex: UInt64 = (1 << 32) - 64 * 7
            let whole = quantize(
                values, absmax: scales, blocksize: 64, quantType: quantType, rounding: rule, firstIndex: firstIndex)
            for blocks in [1, 3, 8] {
                var pieces: [UInt8] = []
                for block in stride(from: 0, to: scales.count, by: blocks) {
                    let end = min(block + blocks, scales.count)
                    pieces += quantize(
                        Array(values[block * 64..<min(end * 64, values.count)]), absmax: Array(scales[block..<end]),
                        blocksize: 64, quantType: quantType, rounding: rule, firstIndex: firstIndex + UInt64(block * 64)
                    )
                }
                #expect(pieces == whole)
            }
        }

        @Test(arguments: QuantType.allCases)
        func levelsStay(quantType: QuantType) {
            let rule = RoundingRule.stochastic(StochasticKey(seed: 2, tensorName: "weight"))
            let levels = quantType.levels + quantType.levels
            let codes = Twin.unpack(quantize(levels, absmax: [1], blocksize: 32, quantType: quantType, rounding: rule))
            #expect(codes.map { quantType.levels[Int($0)] } == levels)
        }

        private func fractions(_ key: UInt64) -> [Double] {
            (0..<65_536).map { Double(Twin.random(key, UInt64($0)) >> 8) * 0x1p-24 }
        }

        /// Of two uniform streams, in standard errors.
        private func correlation(_ a: [Double], _ b: [Double]) -> Double {
            let products = zip(a, b).map { ($0 - 0.5) * ($1 - 0.5) }
            return products.reduce(0, +) / (Double(products.count).squareRoot() / 12)
        }
    }
}
