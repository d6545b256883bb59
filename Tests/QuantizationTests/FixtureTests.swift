import Quantization
import Tensors
import Testing

extension KernelTests {
    /// Bit for bit what bitsandbytes 0.50.2 and torch 2.15 compute.
    @Suite struct Fixtures {
        @Test(arguments: QuantType.allCases)
        func levels(quantType: QuantType) throws {
            let expected = try #require(Fixture.all.levels[quantType.rawValue]).floats
            #expect(quantType.levels.bits == expected.bits)
        }

        @Test func dynamicMap() {
            #expect(DoubleQuantizer.codebook.bits == Fixture.all.dynamicMap.floats.bits)
        }

        @Test(arguments: Fixture.all.cases)
        func quantization(_ fixture: Fixture.Case) throws {
            let dtype = try #require(DType(rawValue: fixture.dtype))
            let quantType = try #require(QuantType(rawValue: fixture.quantType))
            try KernelTests.withEachInstructionSet { set in
                let values = decode(dtype, fixture.values.bytes)
                #expect(values.count == fixture.count)
                let scales = absmax(values, blocksize: fixture.blocksize)
                let codes = quantize(values, absmax: scales, blocksize: fixture.blocksize, quantType: quantType)
                #expect(codes == fixture.codes.bytes, "codes, \(set)")

                var decodingScales = scales
                if let expected = fixture.absmax?.floats {
                    #expect(equalOrBothNaN(scales, expected), "absmax, \(set)")
                } else {
                    let offset = try #require(fixture.offset?.floats.first)
                    let double = quantizeScales(scales, offset: offset)
                    #expect(double.codes == fixture.absmaxCodes?.bytes, "absmax codes, \(set)")
                    #expect(double.nestedAbsmax.bits == fixture.nestedAbsmax?.floats.bits, "nested absmax, \(set)")
                    decodingScales = dequantizeScales(
                        double.codes, nestedAbsmax: double.nestedAbsmax, offset: offset)
                    #expect(decodingScales.bits == fixture.decodedAbsmax?.floats.bits, "decoded absmax, \(set)")
                }
                let decoded = dequantize(
                    codes, absmax: decodingScales, count: fixture.count, blocksize: fixture.blocksize,
                    quantType: quantType)
                let expected = decode(dtype, fixture.decoded.bytes)
                let rounded = decode(dtype, encode(decoded, as: dtype))
                #expect(equalOrBothNaN(rounded, expected), "decoded, \(set) \(differences(rounded, expected))")
            }
        }

        @Test(arguments: Fixture.all.scales.indices)
        func scales(index: Int) {
            let fixture = Fixture.all.scales[index]
            KernelTests.withEachInstructionSet { set in
                let result = quantizeScales(fixture.values.floats, offset: 0)
                #expect(result.codes == fixture.codes.bytes, "\(set) \(differences(result.codes, fixture.codes.bytes))")
                #expect(result.nestedAbsmax.bits == fixture.nestedAbsmax.floats.bits, "\(set)")
            }
        }

        @Test(arguments: Fixture.all.encodings)
        func encoding(_ fixture: Fixture.Conversion) throws {
            let dtype = try #require(DType(rawValue: fixture.dtype))
            KernelTests.withEachInstructionSet { set in
                let encoded = encode(fixture.values.floats, as: dtype)
                let expected = fixture.encoded.bytes
                #expect(encoded == expected, "\(set) \(differences(encoded, expected))")
            }
        }

        @Test(arguments: Fixture.all.decodings)
        func decoding(_ fixture: Fixture.Conversion) throws {
            let dtype = try #require(DType(rawValue: fixture.dtype))
            KernelTests.withEachInstructionSet { set in
                let decoded = decode(dtype, fixture.encoded.bytes)
                let expected = fixture.values.floats
                #expect(equalOrBothNaN(decoded, expected), "\(set) \(differences(decoded, expected))")
            }
        }
    }
}

/// Bit for bit, except that any NaN is as good as another.
func equalOrBothNaN(_ a: [Float], _ b: [Float]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { $0.bitPattern == $1.bitPattern || ($0.isNaN && $1.isNaN) }
}
