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

extension Encoding {
    /// The bytes of each part that hold a range of elements.
    ///
    /// The range must start at a boundary of blocks and of nested blocks. It ends at one, too, unless it ends the tensor; what is
    /// only read may also end between blocks of one nested block.
    public func byteRanges(of elements: Range<Int>) -> [(part: TensorPart, bytes: Range<Int>)] {
        func range(_ first: Int, _ count: Int, bits: Int) -> Range<Int> {
            first * bits / 8..<((first + count) * bits + 7) / 8
        }
        switch self {
        case .dense(let dtype):
            return [(.values, range(elements.lowerBound, elements.count, bits: dtype.bits))]
        case .blockQuantized(let quantization):
            let codes = range(elements.lowerBound, elements.count, bits: 4)
            let firstScale = elements.lowerBound / quantization.blocksize
            let scales = quantization.blockCount(elements: elements.count)
            guard let double = quantization.doubleQuantization else {
                return [(.codes, codes), (.absmax, range(firstScale, scales, bits: 32))]
            }
            let nested = range(firstScale / double.blocksize, double.blockCount(scales: scales), bits: 32)
            return [(.codes, codes), (.absmax, range(firstScale, scales, bits: 8)), (.nestedAbsmax, nested)]
        }
    }

    /// Elements that this encoding cannot separate: a nested block's, a block's, or one. A power of two, except for
    /// nested block sizes that nobody uses.
    public var granule: Int {
        guard let quantization = blockQuantization else { return 1 }
        return quantization.blocksize * (quantization.doubleQuantization?.blocksize ?? 1)
    }
}
