import Kernels
import Tensors

/// Elements as ``ErrorSums`` takes them. Decoding them on the way costs less than decoding them to memory first.
public enum MeasuredElements {
    /// float32 values.
    case values(UnsafePointer<Float>)
    /// Packed 4-bit codes from a block's start on, and their decoded scales.
    case codes(UnsafePointer<UInt8>, absmax: UnsafePointer<Float>, blocksize: Int, quantType: QuantType)
    /// Dense elements as stored, little-endian and at any alignment, of a dtype that ``FloatConversion/canDecode(_:)``.
    case stored(DType, UnsafeRawPointer)

    /// The elements from `count` on, which must be the start of a block.
    public func dropFirst(_ count: Int) -> MeasuredElements {
        switch self {
        case .values(let values): .values(values + count)
        case .codes(let codes, let absmax, let blocksize, let quantType):
            .codes(codes + count / 2, absmax: absmax + count / blocksize, blocksize: blocksize, quantType: quantType)
        case .stored(let dtype, let elements): .stored(dtype, elements + count * dtype.bits / 8)
        }
    }

    package func withKernelForm<Result>(_ body: (UnsafePointer<qconv_elements>) -> Result) -> Result {
        switch self {
        case .values(let values):
            var elements = qconv_elements()
            elements.values = values
            return body(&elements)
        case .stored(let dtype, let stored):
            var elements = qconv_elements()
            elements.dense = stored
            elements.type = FloatConversion.kernelType(of: dtype)
            return body(&elements)
        case .codes(let codes, let absmax, let blocksize, let quantType):
            return quantType.withCodebook { codebook in
                var elements = qconv_elements()
                elements.codes = codes
                elements.absmax = absmax
                elements.blocksize = blocksize
                elements.codebook = codebook
                return body(&elements)
            }
        }
    }
}
