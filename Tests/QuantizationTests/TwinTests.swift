import Quantization
import Reports
import Tensors
import Testing

extension KernelTests {
    /// Every instruction set gives what plain Swift gives, bit for bit, over many shapes.
    @Suite struct Twins {
        static let counts = [0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257, 1000, 4096, 4099]
        static let rules: [RoundingRule] = [
            .nearest, .stochastic(StochasticKey(seed: 3, tensorName: "model.layers.0.mlp.up_proj.weight")),
        ]

        @Test(arguments: QuantType.allCases, BlockQuantization.validBlocksizes)
        func blockQuantization(quantType: QuantType, blocksize: Int) {
            var random = SplitMix(seed: UInt64(blocksize))
            for count in Self.counts {
                var values = random.values(count, sigma: 0.02)
                if count > 20 {
                    values[3] = 0
                    values[7] = -0.0
                    values[11] = .leastNormalMagnitude / 1024
                }
                if count == 257 { values[100] = .nan }
                if count == 255 { values[9] = .infinity }
                if count == 1000 { for i in 0..<min(blocksize, 500) { values[i] = 0 } }
                let update = random.values(count, sigma: 0.002)
                let firstIndex = UInt64(blocksize) * UInt64.random(in: 0..<1 << 40, using: &random)
                let scales = Twin.absmax(values, blocksize: blocksize)
                KernelTests.withEachInstructionSet { set in
                    #expect(equalOrBothNaN(absmax(values, blocksize: blocksize), scales), "\(count) elements, \(set)")
                }
                for rule in Self.rules {
                    let codes = Twin.quantize(
                        values, absmax: scales, blocksize: blocksize, quantType: quantType, rounding: rule,
                        firstIndex: firstIndex)
                    let decoded = Twin.dequantize(
                        codes, absmax: scales, count: count, blocksize: blocksize, quantType: quantType)
                    let merged = Twin.requantize(
                        codes, absmax: scales, update: update, blocksize: blocksize, quantType: quantType,
                        rounding: rule, firstIndex: firstIndex)
                    let changed = zip(Twin.unpack(codes), Twin.unpack(merged)).prefix(count).count { $0 != $1 }
                    KernelTests.withEachInstructionSet { set in
                        let comment = Comment(rawValue: "\(count) elements, \(set)")
                        let actualCodes = quantize(
                            values, absmax: scales, blocksize: blocksize, quantType: quantType, rounding: rule,
                            firstIndex: firstIndex)
                        #expect(differences(actualCodes, codes).isEmpty, comment)
                        let actualDecoded = dequantize(
                            codes, absmax: scales, count: count, blocksize: blocksize, quantType: quantType)
                        #expect(equalOrBothNaN(actualDecoded, decoded), comment)
                        let actualMerged = requantize(
                            codes, absmax: scales, update: update, blocksize: blocksize, quantType: quantType,
                            rounding: rule, firstIndex: firstIndex)
                        #expect(differences(actualMerged, merged).isEmpty, comment)
                        #expect(BlockQuantizer.changedCodes(codes, merged, count: count) == changed, comment)
                    }
                }
            }
        }

        @Test func scales() {
            var random = SplitMix(seed: 4)
            for count in [0, 1, 255, 256, 257, 700, 1024] {
                let values = (0..<count).map { _ in Float.random(in: 0.001...0.2, using: &random) }
                let offset: Float = count % 2 == 0 ? 0.07 : 0
                let twin = Twin.quantizeScales(values, offset: offset)
                KernelTests.withEachInstructionSet { set in
                    let result = quantizeScales(values, offset: offset)
                    #expect(differences(result.codes, twin.codes).isEmpty, "\(count) scales, \(set)")
                    #expect(result.nestedAbsmax.bits == twin.nestedAbsmax.bits, "\(count) scales, \(set)")
                    let decoded = dequantizeScales(result.codes, nestedAbsmax: result.nestedAbsmax, offset: offset)
                    let expected = result.codes.enumerated().map {
                        DoubleQuantizer.codebook[Int($1)] * result.nestedAbsmax[$0 / 256] + offset
                    }
                    #expect(decoded.bits == expected.bits, "\(count) scales, \(set)")
                }
            }
        }

        @Test func scalesOfAnotherBlocksizeAndCodebook() {
            let codebook = (0..<256).map { Float($0) }
            let codes: [UInt8] = [0, 1, 2, 255, 7]
            KernelTests.withEachInstructionSet { _ in
                let decoded = dequantizeScales(
                    codes, nestedAbsmax: [1, 2, 4], blocksize: 2, offset: 0.5, codebook: codebook)
                #expect(decoded == [0.5, 1.5, 4.5, 510.5, 28.5])
            }
        }

        @Test(arguments: [0, 1, 7, 8, 9, 1023, 1024, 1025, 3000])
        func errorSums(count: Int) {
            var random = SplitMix(seed: UInt64(count))
            for spoiled in [false, true] {
                var base = random.values(count, sigma: 0.02)
                var update = random.values(count, sigma: 0.001)
                var written = zip(base, random.values(count, sigma: 0.003)).map { $0 + $1 }
                if spoiled && count > 5 {
                    base[1] = .nan
                    update[count - 1] = .infinity
                    written[count / 2] = -.infinity
                    written[count / 2 + 1] = .nan
                }
                for optionalUpdate in [update, nil] {
                    let twin = Twin.errorSums(base: base, update: optionalUpdate, written: written)
                    KernelTests.withEachInstructionSet { set in
                        let sums = errors(base: base, update: optionalUpdate, written: written)
                        #expect(sums == twin, "\(set)")
                    }
                }
            }
        }

        private func errors(base: [Float], update: [Float]?, written: [Float]) -> ErrorSums {
            guard let update else {
                return ErrorSums(base: base, update: nil, written: written, count: base.count)
            }
            return update.withUnsafeBufferPointer { update in
                ErrorSums(base: base, update: update.baseAddress, written: written, count: base.count)
            }
        }
    }
}
