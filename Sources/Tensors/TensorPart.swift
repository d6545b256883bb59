/// A part of a logical tensor's data that is large enough to be streamed. Offsets and sizes are in bytes of the part.
public enum TensorPart: String, CaseIterable, Hashable, Sendable {
    /// A dense tensor's elements, row-major, little-endian.
    case values
    /// Packed 4-bit codes: two a byte, the first in the high nibble.
    case codes
    /// The scales: float32, or one byte each with double quantization.
    case absmax
    /// The scales of the scales, float32; only with double quantization.
    case nestedAbsmax
}

extension LogicalTensor {
    /// The parts of this tensor and their sizes in bytes.
    public var parts: [(part: TensorPart, byteCount: Int)] {
        switch encoding {
        case .dense(let dtype):
            return [(.values, dtype.byteCount(elements: elementCount) ?? 0)]
        case .blockQuantized(let quantization):
            let scales = quantization.blockCount(elements: elementCount)
            let codes = BlockQuantization.codeBytes(elements: elementCount)
            guard let double = quantization.doubleQuantization else {
                return [(.codes, codes), (.absmax, scales * 4)]
            }
            return [(.codes, codes), (.absmax, scales), (.nestedAbsmax, double.blockCount(scales: scales) * 4)]
        }
    }

    /// The size of one part in bytes; 0 for a part that this encoding does not have.
    public func byteCount(of part: TensorPart) -> Int {
        parts.first { $0.part == part }?.byteCount ?? 0
    }
}
