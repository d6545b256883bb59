import Quantization
import Reports
import Tensors
import TestSupport
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
            var random = SeededGenerator(seed: UInt64(blocksize))
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

        /// Division by corrected reciprocals must not show, wherever in the range of float32 it takes place.
        @Test(arguments: QuantType.allCases)
        func mergesOfAnyMagnitude(quantType: QuantType) {
            var random = SeededGenerator(seed: 11)
            for round in 0..<200 {
                let codes = random.bytes(128)
                let scales = (0..<4).map { _ in anyFloat(near: round % 4, &random) }
                let update = (0..<256).map { index in
                    round % 3 == 0 ? anyFloat(near: 3, &random) : scales[index / 64] * anyFloat(near: 0, &random)
                }
                for rule in Self.rules {
                    let twin = Twin.requantize(
                        codes, absmax: scales, update: update, blocksize: 64, quantType: quantType, rounding: rule,
                        firstIndex: 64)
                    KernelTests.withEachInstructionSet { set in
                        let merged = requantize(
                            codes, absmax: scales, update: update, blocksize: 64, quantType: quantType,
                            rounding: rule, firstIndex: 64)
                        #expect(differences(merged, twin).isEmpty, "round \(round), \(set)")
                    }
                }
            }
        }

        /// A float of either sign: about 2^±2, 2^±20 or 2^±70, or any bit pattern.
        private func anyFloat(near range: Int, _ random: inout SeededGenerator) -> Float {
            let spread = [2, 20, 70, 0][range]
            guard spread > 0 else { return Float(bitPattern: UInt32.random(in: 0...(.max), using: &random)) }
            let exponent = Float.Exponent(Int.random(in: -spread...spread, using: &random))
            return Float(
                sign: Bool.random(using: &random) ? .plus : .minus, exponent: exponent,
                significand: Float.random(in: 1..<2, using: &random))
        }

        @Test(arguments: [DType.bf16, .f16], [32, 64, 4096])
        func scalesOfStoredElements(dtype: DType, blocksize: Int) {
            var random = SeededGenerator(seed: 12)
            for count in Self.counts {
                for stored in [encode(random.values(count, sigma: 0.02), as: dtype), random.bytes(2 * count)] {
                    let twin = Twin.absmax(decode(dtype, stored), blocksize: blocksize)
                    KernelTests.withEachInstructionSet { set in
                        let scales = filled(twin.count, with: Float.zero) { scales in
                            stored.withUnsafeBytes { bytes in
                                guard let source = bytes.baseAddress else { return }
                                BlockQuantizer.absmax(
                                    dtype, source, count: count, blocksize: blocksize, into: scales)
                            }
                        }
                        #expect(equalOrBothNaN(scales, twin), "\(count) elements, \(set)")
                    }
                }
            }
        }

        @Test func scales() {
            var random = SeededGenerator(seed: 4)
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
            var random = SeededGenerator(seed: UInt64(count))
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

        /// What is decoded on the way gives the sums of what was decoded before.
        @Test(arguments: [(64, 64), (32, 4096), (2048, 128)])
        func errorSumsOfCodes(blocksize: Int, otherBlocksize: Int) {
            var random = SeededGenerator(seed: 13)
            for count in Self.counts + [3000] {
                guard count > 0 else { continue }
                let codes = random.bytes((count + 1) / 2)
                let otherCodes = random.bytes((count + 1) / 2)
                let scales = random.values(count / blocksize + 1, sigma: 0.1)
                let otherScales = random.values(count / otherBlocksize + 1, sigma: 0.1)
                let update = random.values(count, sigma: 0.01)
                let base = Twin.dequantize(codes, absmax: scales, count: count, blocksize: blocksize, quantType: .nf4)
                let written = Twin.dequantize(
                    otherCodes, absmax: otherScales, count: count, blocksize: otherBlocksize, quantType: .fp4)
                let twin = Twin.errorSums(base: base, update: update, written: written)
                KernelTests.withEachInstructionSet { set in
                    let sums = codes.withUnsafeBufferPointer { codes in
                        otherCodes.withUnsafeBufferPointer { otherCodes in
                            scales.withUnsafeBufferPointer { scales in
                                otherScales.withUnsafeBufferPointer { otherScales in
                                    ErrorSums(
                                        base: .codes(
                                            codes.baseAddress!, absmax: scales.baseAddress!, blocksize: blocksize,
                                            quantType: .nf4),
                                        update: update,
                                        written: .codes(
                                            otherCodes.baseAddress!, absmax: otherScales.baseAddress!,
                                            blocksize: otherBlocksize, quantType: .fp4), count: count)
                                }
                            }
                        }
                    }
                    #expect(sums == twin, "\(count) elements, \(set)")
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
