import Tensors

/// How a tensor's parts are cut into pieces: a piece holds whole blocks and whole nested blocks, so that it can be
/// decoded without its neighbours.
package struct PieceGeometry: Hashable, Sendable {
    /// Elements a piece, for quantized tensors; a power of two.
    private let elements: Int
    /// Bytes a piece of `values`; a power of two.
    private let pieceSize: Int

    package init(_ encoding: Encoding, pieceSizeLog2: Int) {
        pieceSize = 1 << pieceSizeLog2
        guard let quantization = encoding.blockQuantization else {
            elements = 0
            return
        }
        let unit = quantization.blocksize * (quantization.doubleQuantization?.blocksize ?? 1)
        elements = max(2 * pieceSize, unit)
    }

    /// Bytes of a part that a full piece holds.
    package func byteCount(of part: TensorPart, _ encoding: Encoding) -> Int {
        guard let quantization = encoding.blockQuantization else { return pieceSize }
        let scales = elements / quantization.blocksize
        return switch part {
        case .values: 0
        case .codes: elements / 2
        case .absmax: quantization.doubleQuantization == nil ? scales * 4 : scales
        case .nestedAbsmax: quantization.doubleQuantization.map { scales / $0.blocksize * 4 } ?? 0
        }
    }
}

extension LogicalTensor {
    /// The part that decides into how many pieces the tensor is cut.
    package var mainPart: TensorPart { encoding.denseDType == nil ? .codes : .values }

    package func pieceCount(pieceSizeLog2: Int) -> Int {
        let size = PieceGeometry(encoding, pieceSizeLog2: pieceSizeLog2).byteCount(of: mainPart, encoding)
        let total = byteCount(of: mainPart)
        return total / size + (total % size == 0 ? 0 : 1)
    }

    /// The bytes of a part that a piece holds.
    package func range(of part: TensorPart, piece: Int, pieceSizeLog2: Int) -> Range<Int> {
        let size = PieceGeometry(encoding, pieceSizeLog2: pieceSizeLog2).byteCount(of: part, encoding)
        let total = byteCount(of: part)
        let (start, overflow) = piece.multipliedReportingOverflow(by: size)
        guard !overflow, start < total else { return total..<total }
        return start..<(total - start <= size ? total : start + size)
    }

    /// Bytes of one element of a part that is worth splitting into byte planes; 1 where it is not.
    package func planeWidth(of part: TensorPart) -> Int {
        switch (part, encoding) {
        case (.codes, _): 1
        case (.values, .dense(let dtype)):
            switch dtype {
            case .f16, .bf16: 2
            case .f32, .c64: 4
            case .f64: 8
            default: 1
            }
        case (.absmax, .blockQuantized(let quantization)): quantization.doubleQuantization == nil ? 4 : 1
        case (.nestedAbsmax, _): 4
        case (.values, _), (.absmax, _): 1
        }
    }
}
