import Quantization
import Reports
import Tensors
import TestSupport
import Testing

extension KernelTests {
    /// Elements that are compared as they are stored: the sums of plain Swift, bit for bit, every element in its bucket, and all
    /// that differs counted.
    @Suite struct Comparing {
        static let counts = [1, 2, 15, 16, 17, 63, 255, 256, 257, 300, 1000, 4095, 4096, 4099, 20_000]

        /// How a model stores elements.
        enum Form: CaseIterable {
            case bf16, nf4, fp4, f16, f32, floats

            var quantType: QuantType? { self == .nf4 ? .nf4 : self == .fp4 ? .fp4 : nil }
            var dtype: DType { self == .bf16 ? .bf16 : self == .f16 ? .f16 : .f32 }
        }

        /// What is special about the values.
        enum Values: CaseIterable {
            case unlike, alike, equal, zero, tiny, huge, notFinite

            func change(_ a: inout [Float], _ b: inout [Float]) {
                let noise = b
                switch self {
                case .unlike: break
                case .alike: b = zip(a, noise).map { $0 + $1 * 0x1p-8 }
                case .equal: b = a
                case .zero: (a, b) = (a.map { _ in 0 }, a.map { _ in -0.0 })
                case .tiny: (a, b) = (a.map { $0 * 0x1p-120 }, b.map { $0 * 0x1p-120 })
                case .huge: (a, b) = (a.map { $0 * 0x1p132 }, b.map { $0 * -0x1p132 })
                case .notFinite:
                    a[0] = .nan
                    b[b.count - 1] = -.infinity
                    for index in stride(from: 7, to: a.count, by: 700) {
                        (a[index], b[index]) = (.infinity, index % 2 == 0 ? .infinity : .nan)
                    }
                }
            }
        }

        @Test(arguments: Form.allCases, Values.allCases)
        func comparing(form: Form, values: Values) {
            var random = SeededGenerator(seed: 31)
            for (round, count) in Self.counts.enumerated() {
                var (a, b) = (random.values(count, sigma: 0.02), random.values(count, sigma: 0.02))
                values.change(&a, &b)
                let other = Form.allCases[round % Form.allCases.count]
                check(Stored(a, form, blocksize: [64, 32, 4096][round % 3]), Stored(b, other, blocksize: 64))
                check(Stored(b, form, blocksize: 512), Stored(a, form, blocksize: 512))
            }
        }

        private func check(_ a: Stored, _ b: Stored) {
            let expectedSums = Twin.comparisonSums(a.values, b.values)
            let plain = MagnitudeTally()
            let expectedCounts = plain.add(
                a.values.map(Double.init), b.values.map(Double.init), count: a.values.count)
            let expectedHistogram = plain.drain()
            KernelTests.withEachInstructionSet { set in
                let tally = MagnitudeTally()
                let label = "\(a.form) and \(b.form), \(a.values.count) elements, \(set)"
                // Twice: nothing may be left in the counters.
                for _ in 0..<2 {
                    let found = a.withElements { a in
                        b.withElements { b in tally.add(a, b, count: expectedSums.count) }
                    }
                    #expect(found.sums == expectedSums, "\(label)")
                    #expect(found.counts == expectedCounts, "\(label)")
                    #expect(tally.drain() == expectedHistogram, "\(label)")
                }
            }
        }
    }
}

/// Elements as a model stores them, and the values that they stand for.
private struct Stored {
    let form: KernelTests.Comparing.Form
    let values: [Float]
    private let bytes: [UInt8]
    private let scales: [Float]
    private let blocksize: Int

    init(_ values: [Float], _ form: KernelTests.Comparing.Form, blocksize: Int) {
        self.form = form
        self.blocksize = blocksize
        guard let quantType = form.quantType else {
            bytes = encode(values, as: form.dtype)
            scales = []
            self.values = decode(form.dtype, bytes)
            return
        }
        scales = Twin.absmax(values, blocksize: blocksize)
        bytes = Twin.quantize(
            values, absmax: scales, blocksize: blocksize, quantType: quantType, rounding: .nearest, firstIndex: 0)
        self.values = Twin.dequantize(
            bytes, absmax: scales, count: values.count, blocksize: blocksize, quantType: quantType)
    }

    func withElements<Result>(_ body: (MeasuredElements) -> Result) -> Result {
        if form == .floats { return values.withUnsafeBufferPointer { body(.values($0.baseAddress!)) } }
        // At an odd address, as in a file.
        return ([0] + bytes).withUnsafeBufferPointer { buffer in
            let start = buffer.baseAddress! + 1
            guard let quantType = form.quantType else { return body(.stored(form.dtype, start)) }
            return scales.withUnsafeBufferPointer { scales in
                body(.codes(start, absmax: scales.baseAddress!, blocksize: blocksize, quantType: quantType))
            }
        }
    }
}
