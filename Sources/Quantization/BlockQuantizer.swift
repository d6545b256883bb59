import Kernels
import Tensors

/// bitsandbytes' block-wise 4-bit quantization over flat, row-major values.
///
/// A call handles `count` elements that start at a block boundary; only the last block may be short, which it is at a
/// tensor's end. Two codes share a byte, the first in the high nibble; an odd count is padded with the code of 0.0.
/// The rules are written down in formats/bitsandbytes-4bit.md.
public enum BlockQuantizer {
    /// Computes every block's scale: max |x|, at least 1e-38 for a short last block as in bitsandbytes, NaN for a block that
    /// has one.
    ///
    /// - Parameter absmax: Room for ⌈count / blocksize⌉ values.
    public static func absmax(
        _ values: UnsafePointer<Float>, count: Int, blocksize: Int, into absmax: UnsafeMutablePointer<Float>
    ) {
        qconv_absmax(values, count, blocksize, absmax)
    }

    /// Whether scales can be computed from elements of this dtype as they are stored.
    public static func hasAbsmax(of dtype: DType) -> Bool { dtype == .bf16 || dtype == .f16 }

    /// The same scales from 16-bit elements as they are stored, whose magnitudes compare as integers.
    ///
    /// - Parameter source: Little-endian elements at any alignment.
    /// - Precondition: ``hasAbsmax(of:)``.
    public static func absmax(
        _ dtype: DType, _ source: UnsafeRawPointer, count: Int, blocksize: Int, into absmax: UnsafeMutablePointer<Float>
    ) {
        precondition(hasAbsmax(of: dtype), "\(dtype.rawValue) must be decoded first")
        qconv_absmax_16(dtype == .bf16 ? QCONV_BF16 : QCONV_F16, source, count, blocksize, absmax)
    }

    /// Quantizes values on given scales.
    ///
    /// - Parameters:
    ///   - absmax: ⌈count / blocksize⌉ scales, usually from ``absmax(_:count:blocksize:into:)``.
    ///   - firstIndex: Index in the tensor of the first value, which stochastic rounding depends on.
    ///   - codes: Room for ⌈count / 2⌉ bytes.
    public static func quantize(
        _ values: UnsafePointer<Float>, absmax: UnsafePointer<Float>, count: Int, blocksize: Int, quantType: QuantType,
        rounding: RoundingRule, firstIndex: UInt64, into codes: UnsafeMutablePointer<UInt8>
    ) {
        quantize(
            values, absmax: absmax, count: count, blocksize: blocksize, quantType: quantType, rounding: rounding,
            firstIndex: firstIndex, into: codes, writtenAbsmax: nil, sums: nil)
    }

    /// The same, and adds up the errors on the way, which costs half of what it costs afterwards.
    ///
    /// - Parameter writtenAbsmax: The scales that the codes will be decoded with: `absmax`, or what double quantization makes
    ///   of it.
    /// - Returns: The sums of the written values against `values`. Terms are added in float32 over runs of 512 elements, and
    ///   those in float64; in other ranges than models have, all in float64.
    public static func quantizeMeasuring(
        _ values: UnsafePointer<Float>, absmax: UnsafePointer<Float>, writtenAbsmax: UnsafePointer<Float>, count: Int,
        blocksize: Int, quantType: QuantType, rounding: RoundingRule, firstIndex: UInt64,
        into codes: UnsafeMutablePointer<UInt8>
    ) -> ErrorSums {
        var sums = qconv_error_sums()
        quantize(
            values, absmax: absmax, count: count, blocksize: blocksize, quantType: quantType, rounding: rounding,
            firstIndex: firstIndex, into: codes, writtenAbsmax: writtenAbsmax, sums: &sums)
        return ErrorSums(sums, count: count)
    }

    private static func quantize(
        _ values: UnsafePointer<Float>, absmax: UnsafePointer<Float>, count: Int, blocksize: Int, quantType: QuantType,
        rounding: RoundingRule, firstIndex: UInt64, into codes: UnsafeMutablePointer<UInt8>,
        writtenAbsmax: UnsafePointer<Float>?, sums: UnsafeMutablePointer<qconv_error_sums>?
    ) {
        quantType.withCodebook { codebook in
            switch rounding {
            case .nearest:
                qconv_quantize_nearest(values, absmax, count, blocksize, codebook, codes, writtenAbsmax, sums)
            case .stochastic(let key):
                checkAlignment(of: firstIndex, blocksize: blocksize)
                qconv_quantize_stochastic(
                    values, absmax, count, blocksize, codebook, key.value, firstIndex, codes, writtenAbsmax, sums)
            }
        }
    }

    /// Decodes to level · absmax in float32. bitsandbytes then rounds to the quant state's dtype.
    ///
    /// - Parameter values: Room for `count` values.
    public static func dequantize(
        _ codes: UnsafePointer<UInt8>, absmax: UnsafePointer<Float>, count: Int, blocksize: Int, quantType: QuantType,
        into values: UnsafeMutablePointer<Float>
    ) {
        quantType.withCodebook { qconv_dequantize(codes, absmax, count, blocksize, $0, values) }
    }

    /// Adds an update to 4-bit values on the base's own scales: level + update / absmax in float32, rounded to a level.
    ///
    /// A code stays bit-identical where the chosen level equals the base's (a zero update, and FP4's second zero, included),
    /// where absmax is 0, and where the sum is NaN. Scales may be negative, as decoded double-quantized ones can be.
    ///
    /// - Parameters:
    ///   - absmax: The base's decoded scales.
    ///   - update: `count` values to add, in the units of the decoded weights.
    ///   - firstIndex: Index in the tensor of the first value, which stochastic rounding depends on.
    ///   - codes: Room for ⌈count / 2⌉ bytes; may be `baseCodes` itself. The padding of an odd count is kept.
    /// - Returns: Whether all scales and updates are finite.
    @discardableResult
    public static func requantize(
        baseCodes: UnsafePointer<UInt8>, absmax: UnsafePointer<Float>, update: UnsafePointer<Float>, count: Int,
        blocksize: Int, quantType: QuantType, rounding: RoundingRule, firstIndex: UInt64,
        into codes: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        requantize(
            baseCodes: baseCodes, absmax: absmax, update: update, count: count, blocksize: blocksize,
            quantType: quantType, rounding: rounding, firstIndex: firstIndex, into: codes, sums: nil)
    }

    /// The same, and adds up the errors on the way, which costs half of what it costs afterwards.
    ///
    /// - Parameter codes: Room for ⌈count / 2⌉ bytes, not `baseCodes`.
    /// - Returns: The sums of the new values against the old ones plus the update, added up as in
    ///   ``quantizeMeasuring(_:absmax:writtenAbsmax:count:blocksize:quantType:rounding:firstIndex:into:)``.
    public static func requantizeMeasuring(
        baseCodes: UnsafePointer<UInt8>, absmax: UnsafePointer<Float>, update: UnsafePointer<Float>, count: Int,
        blocksize: Int, quantType: QuantType, rounding: RoundingRule, firstIndex: UInt64,
        into codes: UnsafeMutablePointer<UInt8>
    ) -> ErrorSums {
        precondition(UnsafePointer(codes) != baseCodes, "the old codes are needed again")
        var sums = qconv_error_sums()
        _ = requantize(
            baseCodes: baseCodes, absmax: absmax, update: update, count: count, blocksize: blocksize,
            quantType: quantType, rounding: rounding, firstIndex: firstIndex, into: codes, sums: &sums)
        return ErrorSums(sums, count: count)
    }

    private static func requantize(
        baseCodes: UnsafePointer<UInt8>, absmax: UnsafePointer<Float>, update: UnsafePointer<Float>, count: Int,
        blocksize: Int, quantType: QuantType, rounding: RoundingRule, firstIndex: UInt64,
        into codes: UnsafeMutablePointer<UInt8>, sums: UnsafeMutablePointer<qconv_error_sums>?
    ) -> Bool {
        quantType.withCodebook { codebook in
            switch rounding {
            case .nearest:
                return qconv_requantize_nearest(baseCodes, absmax, update, count, blocksize, codebook, codes, sums)
            case .stochastic(let key):
                checkAlignment(of: firstIndex, blocksize: blocksize)
                return qconv_requantize_stochastic(
                    baseCodes, absmax, update, count, blocksize, codebook, key.value, firstIndex, codes, sums)
            }
        }
    }

    /// Whether none of these values is NaN or infinite.
    public static func areFinite(_ values: UnsafePointer<Float>, count: Int) -> Bool {
        // Without an early exit this is done many at a time.
        var largest: UInt32 = 0
        for index in 0..<count { largest = max(largest, values[index].bitPattern & 0x7FFF_FFFF) }
        return largest < Float.infinity.bitPattern
    }

    /// The number of codes that differ, of the first `count`. Padding is not looked at.
    public static func changedCodes(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, count: Int) -> Int {
        qconv_changed_codes(a, b, count)
    }

    private static func checkAlignment(of firstIndex: UInt64, blocksize: Int) {
        precondition(firstIndex % UInt64(blocksize) == 0, "a call starts at a block boundary")
    }
}
