import Quantization
import Tensors
import TestSupport
import Testing

extension KernelTests {
    @Suite struct Conversion {
        /// Every value of a 16-bit type survives a round trip, NaN payloads included (made quiet).
        @Test(arguments: [DType.f16, .bf16])
        func everySixteenBitValue(dtype: DType) {
            let bytes = (0...UInt16.max).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
            KernelTests.withEachInstructionSet { set in
                let values = decode(dtype, bytes)
                let again = decode(dtype, encode(values, as: dtype))
                let quieted = values.map { $0.isNaN ? Float(bitPattern: $0.bitPattern | 0x40_0000) : $0 }
                #expect(differences(again.bits, quieted.bits).isEmpty, "\(set)")
            }
        }

        #if !(os(macOS) && arch(x86_64))
        @Test func halfPrecisionLikeTheProcessor() {
            var random = SeededGenerator(seed: 6)
            let values = (0..<100_000).map { _ in Float(bitPattern: UInt32.random(in: 0...UInt32.max, using: &random)) }
            KernelTests.withEachInstructionSet { set in
                let encoded = encode(values, as: .f16)
                for (i, value) in values.enumerated() where !value.isNaN {
                    let bits = UInt16(encoded[2 * i]) | UInt16(encoded[2 * i + 1]) << 8
                    guard bits != Float16(value).bitPattern else { continue }
                    Issue.record("\(value) became \(bits), \(set)")
                    return
                }
            }
        }
        #endif

        @Test(arguments: [DType.f16, .bf16, .f8e4m3, .f8e5m2, .f32, .f64])
        func roundIsEncodeThenDecode(dtype: DType) {
            var random = SeededGenerator(seed: 7)
            let values = random.values(1001, sigma: 3) + [.nan, .infinity, -.infinity, .leastNonzeroMagnitude, -0.0]
            let addends = random.values(values.count, sigma: 0.1)
            KernelTests.withEachInstructionSet { set in
                var rounded = values
                FloatConversion.round(&rounded, count: values.count, to: dtype)
                #expect(rounded.bits == decode(dtype, encode(values, as: dtype)).bits, "\(set)")
                var sums = values
                FloatConversion.round(&sums, count: values.count, to: dtype, adding: addends)
                #expect(equalOrBothNaN(sums, zip(rounded, addends).map { $0 + $1 }), "\(set)")
            }
        }

        @Test(arguments: [DType.f16, .bf16, .f8e4m3, .f8e5m2])
        func doublesRoundOnce(dtype: DType) {
            var random = SeededGenerator(seed: 11)
            // Just beside the middle of two neighbours: rounding to float32 first would lose on which side.
            let narrow = decode(dtype, encode(random.values(500, sigma: 2), as: dtype)).filter { $0 > 0.1 }
            // Finite codes in ascending order, with the subnormal ones.
            let codes: any Sequence<Int> =
                switch dtype {
                case .f16: stride(from: 0, to: 0x7BFF, by: 97)
                case .bf16: stride(from: 0, to: 0x7F7F, by: 97)
                case .f8e4m3: 0..<0x7E
                default: 0..<0x7B
                }
            for code in codes {
                let neighbours = [code, code + 1].flatMap { code in
                    (0..<dtype.bits / 8).map { UInt8(truncatingIfNeeded: code >> (8 * $0)) }
                }
                let values = decode(dtype, neighbours)
                let middle = (Double(values[0]) + Double(values[1])) / 2
                let beside = [middle * (1 - 1e-14), middle * (1 + 1e-14)]
                KernelTests.withEachInstructionSet { set in
                    #expect(encodeDoubles(beside, as: dtype) == values, "\(set)")
                    #expect(encodeDoubles(beside.map { -$0 }, as: dtype) == values.map { -$0 }, "\(set)")
                }
            }
            let exact = encodeDoubles(narrow.map(Double.init) + [0, -0.0, .infinity, 1e300, 1e-300], as: dtype)
            let largest: Float = dtype == .f8e4m3 ? 448 : .infinity
            #expect(exact.bits == (narrow + [0, -0.0, largest, largest, 0]).bits)
            #expect(encodeDoubles([.nan], as: dtype)[0].isNaN)
        }

        @Test func unalignedBytes() {
            let bytes: [UInt8] = [0xFF, 0x80, 0x3F, 0x00, 0xC0, 0xFF]
            var values: [Float] = [0, 0]
            bytes.withUnsafeBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                FloatConversion.decode(.bf16, base + 1, count: 2, into: &values)
            }
            #expect(values == [1, -2])
        }

        @Test func whatConverts() {
            let decodable = DType.allCases.filter(FloatConversion.canDecode)
            #expect(
                Set(decodable) == [
                    .f64, .f32, .f16, .bf16, .f8e4m3, .f8e5m2, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz,
                ])
            let encodable = DType.allCases.filter(FloatConversion.canEncode)
            #expect(Set(encodable) == [.f64, .f32, .f16, .bf16, .f8e4m3, .f8e5m2])
        }

        private func encodeDoubles(_ values: [Double], as dtype: DType) -> [Float] {
            let bytes = filled(values.count * dtype.bits / 8, with: UInt8(0xEE)) {
                FloatConversion.encode(float64: values, count: values.count, as: dtype, into: $0)
            }
            return decode(dtype, bytes)
        }
    }
}
