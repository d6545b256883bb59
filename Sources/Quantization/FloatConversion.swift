import Kernels
import Tensors

/// Conversion of dense elements from and to float32, to the nearest value with ties to even, as torch does on a CPU.
///
/// Subnormals and infinities are exact. A NaN stays a NaN with its sign, and a signalling one becomes quiet.
public enum FloatConversion {
    /// Whether elements of `dtype` can be decoded to float32.
    public static func canDecode(_ dtype: DType) -> Bool { dtype.kernelType != nil }

    /// Whether float32 can be encoded as `dtype`.
    public static func canEncode(_ dtype: DType) -> Bool {
        switch dtype {
        case .f64, .f32, .f16, .bf16, .f8e4m3, .f8e5m2: true
        default: false
        }
    }

    /// Decodes `count` elements to float32. Exact, except that float64 is rounded.
    ///
    /// - Parameter source: Little-endian elements at any alignment.
    /// - Precondition: ``canDecode(_:)``.
    public static func decode(
        _ dtype: DType, _ source: UnsafeRawPointer, count: Int, into destination: UnsafeMutablePointer<Float>
    ) {
        qconv_decode_floats(kernelType(of: dtype), source, count, destination)
    }

    /// Encodes `count` float32 values, rounding once. Values too large for a dtype become infinite; in
    /// float8_e4m3fn, which has no infinities, they and infinities become ±448 as in torch 2.15.
    ///
    /// - Parameter destination: Room for `count` elements at any alignment; written little-endian.
    /// - Precondition: ``canEncode(_:)``.
    public static func encode(
        _ source: UnsafePointer<Float>, count: Int, as dtype: DType, into destination: UnsafeMutableRawPointer
    ) {
        qconv_encode_floats(source, count, encodableType(dtype), destination)
    }

    /// Rounds values to what `dtype` can hold, in place: what torch does when a result is stored in that dtype.
    ///
    /// - Precondition: ``canEncode(_:)``.
    public static func round(_ values: UnsafeMutablePointer<Float>, count: Int, to dtype: DType) {
        qconv_round_floats(values, count, encodableType(dtype), nil)
    }

    /// The same, and adds something to each rounded value, in float32.
    ///
    /// - Precondition: ``canEncode(_:)``; `addends` has `count` values and is no part of `values`.
    public static func round(
        _ values: UnsafeMutablePointer<Float>, count: Int, to dtype: DType, adding addends: UnsafePointer<Float>
    ) {
        qconv_round_floats(values, count, encodableType(dtype), addends)
    }

    /// Encodes float64 values with a single rounding. (torch rounds twice, to float32 first, where that is not exact.)
    ///
    /// - Precondition: ``canEncode(_:)``.
    public static func encode(
        float64 source: UnsafePointer<Double>, count: Int, as dtype: DType, into destination: UnsafeMutableRawPointer
    ) {
        qconv_encode_doubles(source, count, encodableType(dtype), destination)
    }

    /// The kernels' name for a dtype.
    ///
    /// - Precondition: ``canDecode(_:)``.
    static func kernelType(of dtype: DType) -> qconv_float_type {
        guard let type = dtype.kernelType else { preconditionFailure("\(dtype.rawValue) cannot be decoded to float32") }
        return type
    }

    private static func encodableType(_ dtype: DType) -> qconv_float_type {
        guard canEncode(dtype), let type = dtype.kernelType else {
            preconditionFailure("float32 cannot be encoded as \(dtype.rawValue)")
        }
        return type
    }
}

extension DType {
    /// The kernels' name for a dtype they can decode.
    fileprivate var kernelType: qconv_float_type? {
        switch self {
        case .f64: QCONV_F64
        case .f32: QCONV_F32
        case .f16: QCONV_F16
        case .bf16: QCONV_BF16
        case .f8e4m3: QCONV_F8E4M3
        case .f8e5m2: QCONV_F8E5M2
        case .f8e8m0: QCONV_F8E8M0
        case .f8e4m3fnuz: QCONV_F8E4M3FNUZ
        case .f8e5m2fnuz: QCONV_F8E5M2FNUZ
        default: nil
        }
    }
}
