import Quantization
import Tensors
import TestSupport
import Testing

extension KernelTests {
    /// What merging in 4 bits promises.
    @Suite struct Merge {
        static let rules: [RoundingRule] = [.nearest, .stochastic(StochasticKey(seed: 0, tensorName: "weight"))]

        @Test(arguments: QuantType.allCases, [0.0, -0.0] as [Float])
        func zeroUpdateKeepsEveryCode(quantType: QuantType, zero: Float) {
            var random = SeededGenerator(seed: 1)
            for count in [1, 31, 64, 129, 4096] {
                let codes = random.bytes((count + 1) / 2)
                let scales = (0..<(count + 63) / 64).map { _ in Float.random(in: -0.1...0.3, using: &random) }
                for rule in Self.rules {
                    KernelTests.withEachInstructionSet { set in
                        let merged = requantize(
                            codes, absmax: scales, update: [Float](repeating: zero, count: count), blocksize: 64,
                            quantType: quantType, rounding: rule)
                        #expect(merged == codes, "\(set)")
                    }
                }
            }
        }

        @Test(arguments: QuantType.allCases)
        func blocksWithoutScaleKeepTheirCodes(quantType: QuantType) {
            var random = SeededGenerator(seed: 2)
            let codes = random.bytes(64)
            let update = random.values(128, sigma: 1)
            for rule in Self.rules {
                let merged = requantize(
                    codes, absmax: [0, -0.0], update: update, blocksize: 64, quantType: quantType, rounding: rule)
                #expect(merged == codes)
            }
        }

        @Test func negativeScalesMergeInTheScaledDomain() {
            // Level 15 (1.0) on the scale −0.5 is the weight −0.5; adding 0.5 gives 0.
            let merged = requantize([0xFF], absmax: [-0.5], update: [0.5, 0], blocksize: 64, quantType: .nf4)
            #expect(merged == [0x7F])
        }

        @Test func sumsBeyondTheLevelsBecomeTheOutermost() {
            let update: [Float] = [9, -9, .infinity, -.infinity]
            for rule in Self.rules {
                let merged = requantize(
                    [0x77, 0x77], absmax: [1], update: update, blocksize: 64, quantType: .nf4, rounding: rule)
                #expect(merged == [0xF0, 0xF0])
            }
        }

        @Test func maybeInPlace() {
            var random = SeededGenerator(seed: 3)
            let codes = random.bytes(50)
            let scales = random.values(2, sigma: 1)
            let update = random.values(100, sigma: 1)
            let merged = requantize(codes, absmax: scales, update: update, blocksize: 64, quantType: .fp4)
            var inPlace = codes
            inPlace.withUnsafeMutableBufferPointer { buffer in
                guard let base = buffer.baseAddress else { return }
                BlockQuantizer.requantize(
                    baseCodes: base, absmax: scales, update: update, count: 100, blocksize: 64, quantType: .fp4,
                    rounding: .nearest, firstIndex: 0, into: base)
            }
            #expect(inPlace == merged)
        }
    }
}
