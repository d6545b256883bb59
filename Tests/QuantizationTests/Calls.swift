import Quantization
import Tensors

// The library's calls over arrays, so that tests read as what they check.

func absmax(_ values: [Float], blocksize: Int) -> [Float] {
    filled((values.count + blocksize - 1) / blocksize, with: Float.zero) {
        BlockQuantizer.absmax(values, count: values.count, blocksize: blocksize, into: $0)
    }
}

func quantize(
    _ values: [Float], absmax: [Float], blocksize: Int, quantType: QuantType, rounding: RoundingRule = .nearest,
    firstIndex: UInt64 = 0
) -> [UInt8] {
    filled((values.count + 1) / 2, with: 0xEE) {
        BlockQuantizer.quantize(
            values, absmax: absmax, count: values.count, blocksize: blocksize, quantType: quantType, rounding: rounding,
            firstIndex: firstIndex, into: $0)
    }
}

func dequantize(_ codes: [UInt8], absmax: [Float], count: Int, blocksize: Int, quantType: QuantType) -> [Float] {
    filled(count, with: Float.zero) {
        BlockQuantizer.dequantize(
            codes, absmax: absmax, count: count, blocksize: blocksize, quantType: quantType, into: $0)
    }
}

func requantize(
    _ codes: [UInt8], absmax: [Float], update: [Float], blocksize: Int, quantType: QuantType,
    rounding: RoundingRule = .nearest, firstIndex: UInt64 = 0
) -> [UInt8] {
    filled(codes.count, with: 0xEE) {
        BlockQuantizer.requantize(
            baseCodes: codes, absmax: absmax, update: update, count: update.count, blocksize: blocksize,
            quantType: quantType, rounding: rounding, firstIndex: firstIndex, into: $0)
    }
}

func quantizeScales(_ absmax: [Float], offset: Float) -> (codes: [UInt8], nestedAbsmax: [Float]) {
    var codes: [UInt8] = []
    let nested = filled((absmax.count + 255) / 256, with: Float.zero) { nested in
        codes = filled(absmax.count, with: 0xEE) {
            DoubleQuantizer.quantize(absmax, count: absmax.count, offset: offset, into: $0, nestedAbsmax: nested)
        }
    }
    return (codes, nested)
}

func dequantizeScales(
    _ codes: [UInt8], nestedAbsmax: [Float], blocksize: Int = 256, offset: Float, codebook: [Float]? = nil
) -> [Float] {
    filled(codes.count, with: Float.zero) {
        DoubleQuantizer.dequantize(
            codes, nestedAbsmax: nestedAbsmax, count: codes.count, blocksize: blocksize, offset: offset,
            codebook: codebook, into: $0)
    }
}

func decode(_ dtype: DType, _ bytes: [UInt8]) -> [Float] {
    let count = bytes.count * 8 / dtype.bits
    return filled(count, with: Float.zero) { destination in
        bytes.withUnsafeBytes { source in
            guard let source = source.baseAddress else { return }
            FloatConversion.decode(dtype, source, count: count, into: destination)
        }
    }
}

func encode(_ values: [Float], as dtype: DType) -> [UInt8] {
    filled(values.count * dtype.bits / 8, with: 0xEE) {
        FloatConversion.encode(values, count: values.count, as: dtype, into: $0)
    }
}

/// An array made by a call that writes to a pointer. One element more stands behind it and must not be touched.
func filled<Element: Equatable>(
    _ count: Int, with filler: Element, _ body: (UnsafeMutablePointer<Element>) -> Void
) -> [Element] {
    var result = [Element](repeating: filler, count: count + 1)
    result.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return }
        body(base)
    }
    precondition(result[count] == filler, "a kernel wrote past its end")
    return Array(result.dropLast())
}
