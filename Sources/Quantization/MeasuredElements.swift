import Kernels
import Tensors

/// Elements as ``ErrorSums`` takes them. Decoding codes on the way costs less than decoding them to memory first.
public enum MeasuredElements {
    /// float32 values.
    case values(UnsafePointer<Float>)
    /// Packed 4-bit codes from a block's start on, and their decoded scales.
    case codes(UnsafePointer<UInt8>, absmax: UnsafePointer<Float>, blocksize: Int, quantType: QuantType)

    /// The elements from `count` on, which must be the start of a block.
    public func dropFirst(_ count: Int) -> MeasuredElements {
        switch self {
        case .values(let values): .values(values + count)
        case .codes(let codes, let absmax, let blocksize, let quantType):
            .codes(codes + count / 2, absmax: absmax + count / blocksize, blocksize: blocksize, quantType: quantType)
        }
    }

    func withKernelForm<Result>(_ body: (UnsafePointer<qconv_elements>) -> Result) -> Result {
        switch self {
        case .values(let values):
            var elements = qconv_elements()
            elements.values = values
            return body(&elements)
        case .codes(let codes, let absmax, let blocksize, let quantType):
            return quantType.withCodebook { codebook in
                var elements = qconv_elements(
                    values: nil, codes: codes, absmax: absmax, blocksize: blocksize, codebook: codebook)
                return body(&elements)
            }
        }
    }
}
