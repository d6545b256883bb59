import Tensors

/// A tensor of a safetensors file that holds a logical tensor or a piece of it.
struct PlannedPiece: Sendable {
    enum Content: Sendable {
        /// Data that arrives later.
        case part(TensorPart)
        /// Data that is known.
        case constant([UInt8])
        /// A quant state that waits for the offset of the scales.
        case pendingQuantState
    }

    let piece: SafetensorsPiece
    let content: Content
}

extension LogicalTensor {
    /// What a safetensors file must hold to store this tensor, under the names, dtypes and shapes that bitsandbytes uses.
    ///
    /// - Throws: ``CheckpointError/unwritable(reason:)`` when its size overflows or fills no whole number of bytes.
    func plannedPieces() throws(CheckpointError) -> [PlannedPiece] {
        guard let elements = checkedElementCount(shape), elements <= Int.max / 64 else {
            throw .unwritable(reason: "tensor \"\(name)\": its shape \(shape) is larger than any file")
        }
        switch encoding {
        case .dense(let dtype):
            guard let byteCount = dtype.byteCount(elements: elements) else {
                throw .unwritable(reason: "tensor \"\(name)\": \(dtype.rawValue) \(shape) does not fill whole bytes")
            }
            let piece = SafetensorsPiece(name: name, dtype: dtype, shape: shape, byteCount: byteCount)
            return [PlannedPiece(piece: piece, content: .part(.values))]
        case .blockQuantized(let quantization):
            return try plannedPieces(quantization, elements: elements)
        }
    }

    private func plannedPieces(_ quantization: BlockQuantization, elements: Int) throws(CheckpointError)
        -> [PlannedPiece]
    {
        let scales = quantization.blockCount(elements: elements)
        func vector(_ suffix: String, _ dtype: DType, _ count: Int, _ content: PlannedPiece.Content) -> PlannedPiece {
            let byteCount = count * dtype.bits / 8
            let piece = SafetensorsPiece(name: name + suffix, dtype: dtype, shape: [count], byteCount: byteCount)
            return PlannedPiece(piece: piece, content: content)
        }
        func table(_ suffix: String, _ bytes: [UInt8]) -> PlannedPiece {
            vector(suffix, .f32, bytes.count / 4, .constant(bytes))
        }
        var pieces = [
            PlannedPiece(piece: try codePiece(quantization, elements: elements), content: .part(.codes)),
            table(BitsAndBytesNames.quantMap, StandardTables.quantMap(quantization.quantType)),
        ]
        if let double = quantization.doubleQuantization {
            pieces += [
                vector(BitsAndBytesNames.absmax, .u8, scales, .part(.absmax)),
                vector(
                    BitsAndBytesNames.nestedAbsmax, .f32, double.blockCount(scales: scales), .part(.nestedAbsmax)),
                table(
                    BitsAndBytesNames.nestedQuantMap,
                    double.codebook.map(littleEndianBytes) ?? StandardTables.dynamicMap),
            ]
        } else {
            pieces.append(vector(BitsAndBytesNames.absmax, .f32, scales, .part(.absmax)))
        }
        let suffix = BitsAndBytesNames.quantState(quantization.quantType)
        if let state = quantStateBytes(quantization) {
            pieces.append(vector(suffix, .u8, state.count, .constant(state)))
        } else {
            let room = QuantState.maximumByteCount(quantization, shape: shape)
            var pending = vector(suffix, .u8, room, .pendingQuantState)
            pending = PlannedPiece(
                piece: SafetensorsPiece(
                    name: pending.piece.name, dtype: .u8, shape: [room], byteCount: room, isDeferred: true),
                content: .pendingQuantState)
            pieces.append(pending)
        }
        return pieces
    }

    /// The packed codes: the shape that the checkpoint had if it still fits, else [n, 1] as bitsandbytes makes it.
    private func codePiece(_ quantization: BlockQuantization, elements: Int) throws(CheckpointError)
        -> SafetensorsPiece
    {
        let byteCount = BlockQuantization.codeBytes(elements: elements)
        let dtype = quantization.storage?.dtype ?? .u8
        if let shape = quantization.storage?.shape,
            let count = checkedElementCount(shape), dtype.byteCount(elements: count) == byteCount
        {
            return SafetensorsPiece(name: name, dtype: dtype, shape: shape, byteCount: byteCount)
        }
        guard dtype.bits >= 8, byteCount % (dtype.bits / 8) == 0 else {
            throw .unwritable(
                reason: """
                    tensor "\(name)": its \(byteCount) bytes of codes are no whole number of \(dtype.rawValue) values; \
                    store the codes as uint8 (bnb_4bit_quant_storage)
                    """)
        }
        return SafetensorsPiece(
            name: name, dtype: dtype, shape: [byteCount / (dtype.bits / 8), 1], byteCount: byteCount)
    }

    /// The stored quant state if it still describes the tensor, else a new one; `nil` while the offset is not known.
    private func quantStateBytes(_ quantization: BlockQuantization) -> [UInt8]? {
        guard let state = QuantState(quantization, shape: shape) else { return nil }
        // Other writers may lay the same state out in another way.
        if let stored = quantization.storage?.quantState, (try? QuantState(parsing: stored)) == state { return stored }
        return state.encoded()
    }
}
