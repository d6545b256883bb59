import Tensors

/// Groups the tensors of a checkpoint's files into logical tensors: bitsandbytes' pieces `W`, `W.absmax`, … become one
/// 4-bit tensor `W`, wherever they lie; everything else is a dense tensor.
struct BitsAndBytesGrouping {
    private let stored: [StoredTensor]
    private let indices: [String: Int]
    /// Reads all bytes of a small piece.
    private let bytes: (StoredTensor) throws -> [UInt8]
    private var isPiece: [Bool]

    init(_ stored: [StoredTensor], bytes: @escaping (StoredTensor) throws -> [UInt8]) {
        self.stored = stored
        self.bytes = bytes
        indices = Dictionary(stored.enumerated().map { ($0.element.entry.name, $0.offset) }, uniquingKeysWith: { $1 })
        isPiece = Array(repeating: false, count: stored.count)
    }

    /// The logical tensors, in the order of their main pieces.
    ///
    /// - Throws: ``CheckpointError/invalidQuantizedTensor(name:problem:)`` and what reading throws.
    mutating func logicalTensors() throws -> [LocatedTensor] {
        var quantized: [Int: LocatedTensor] = [:]
        for index in stored.indices {
            let name = stored[index].entry.name
            guard let (weight, suffix) = BitsAndBytesNames.splitQuantState(name) else { continue }
            do {
                guard let quantType = QuantType(rawValue: suffix) else {
                    throw QuantizedTensorProblem.unknownQuantState(piece: name)
                }
                guard let main = indices[weight] else { throw QuantizedTensorProblem.missingPiece(name: weight) }
                guard quantized[main] == nil else { throw QuantizedTensorProblem.severalQuantStates }
                isPiece[index] = true
                quantized[main] = try group(stored[main], quantType, quantState: stored[index])
            } catch let problem as QuantizedTensorProblem {
                throw CheckpointError.invalidQuantizedTensor(name: weight, problem: problem)
            }
        }
        try checkOrphans(anyQuantized: !quantized.isEmpty)
        return stored.indices.compactMap { index in
            if let tensor = quantized[index] { return tensor }
            guard !isPiece[index] else { return nil }
            let entry = stored[index].entry
            return LocatedTensor(
                tensor: LogicalTensor(name: entry.name, shape: entry.shape, encoding: .dense(entry.dtype)),
                main: stored[index])
        }
    }

    /// Checks the pieces of one weight against its quant state.
    private mutating func group(_ main: StoredTensor, _ quantType: QuantType, quantState: StoredTensor) throws
        -> LocatedTensor
    {
        let name = main.entry.name
        let text = try quantStateBytes(quantState)
        let state = try QuantState(parsing: text)
        guard state.quantType == quantType else {
            throw QuantizedTensorProblem.wrongValue(
                key: "quant_type", expected: "\"\(quantType.rawValue)\" as in the piece's name",
                found: "\"\(state.quantType.rawValue)\"")
        }
        guard let elements = checkedElementCount(state.shape), elements <= Int.max / 8 else {
            throw QuantizedTensorProblem.tooLarge(shape: state.shape)
        }
        try require(main, byteCount: BlockQuantization.codeBytes(elements: elements), for: state.shape)

        var quantization = BlockQuantization(
            quantType: quantType, blocksize: state.blocksize, dtype: state.dtype,
            storage: BitsAndBytesStorage(dtype: main.entry.dtype, shape: main.entry.shape, quantState: text))
        let scales = quantization.blockCount(elements: elements)
        let absmax = try piece(
            name + BitsAndBytesNames.absmax, dtype: state.nested == nil ? .f32 : .u8, count: scales)
        var nestedAbsmax: StoredTensor?
        try checkCodebook(name + BitsAndBytesNames.quantMap, quantType)
        if let nested = state.nested {
            let double = DoubleQuantization(
                blocksize: nested.blocksize, offset: nested.offset,
                codebook: try nestedCodebook(name + BitsAndBytesNames.nestedQuantMap))
            nestedAbsmax = try piece(
                name + BitsAndBytesNames.nestedAbsmax, dtype: .f32, count: double.blockCount(scales: scales))
            quantization.doubleQuantization = double
        }
        return LocatedTensor(
            tensor: LogicalTensor(name: name, shape: state.shape, encoding: .blockQuantized(quantization)),
            main: main, absmax: absmax, nestedAbsmax: nestedAbsmax)
    }

    private func quantStateBytes(_ piece: StoredTensor) throws -> [UInt8] {
        let entry = piece.entry
        guard entry.dtype == .u8, entry.shape.count == 1 else {
            throw QuantizedTensorProblem.wrongPiece(
                piece: entry.name, expected: "U8 [n]", found: "\(entry.dtype.rawValue) \(entry.shape)")
        }
        guard entry.byteCount <= QuantState.maximumByteCount else {
            throw QuantizedTensorProblem.quantStateTooLong(byteCount: entry.byteCount)
        }
        return try bytes(piece)
    }

    private func require(_ main: StoredTensor, byteCount: Int, for shape: [Int]) throws(QuantizedTensorProblem) {
        guard main.entry.byteCount == byteCount else {
            throw .wrongPiece(
                piece: main.entry.name, expected: "\(byteCount) bytes of codes for shape \(shape)",
                found: "\(main.entry.byteCount) (\(main.entry.dtype.rawValue) \(main.entry.shape))")
        }
    }

    /// A piece that must exist with this dtype and number of elements.
    private mutating func piece(_ name: String, dtype: DType, count: Int) throws(QuantizedTensorProblem)
        -> StoredTensor
    {
        guard let index = indices[name] else { throw .missingPiece(name: name) }
        let entry = stored[index].entry
        guard entry.dtype == dtype, entry.shape == [count] else {
            throw .wrongPiece(
                piece: name, expected: "\(dtype.rawValue) [\(count)]",
                found: "\(entry.dtype.rawValue) \(entry.shape)")
        }
        isPiece[index] = true
        return stored[index]
    }

    private mutating func checkCodebook(_ name: String, _ quantType: QuantType) throws {
        let found = try bytes(try piece(name, dtype: .f32, count: 16))
        guard found == StandardTables.quantMap(quantType) else {
            throw QuantizedTensorProblem.nonStandardCodebook(piece: name, quantType: quantType)
        }
    }

    /// The levels of the scales when they are not the standard ones. bitsandbytes decodes with the stored ones.
    private mutating func nestedCodebook(_ name: String) throws -> [Float]? {
        let found = try bytes(try piece(name, dtype: .f32, count: 256))
        guard found != StandardTables.dynamicMap else { return nil }
        return floats(littleEndian: found)
    }

    /// Refuses pieces whose weight has no quant state: passing them on as tensors of their own would hide the damage.
    private func checkOrphans(anyQuantized: Bool) throws(CheckpointError) {
        let suffixes = [
            BitsAndBytesNames.quantMap, BitsAndBytesNames.nestedAbsmax, BitsAndBytesNames.nestedQuantMap,
            BitsAndBytesNames.absmax,
        ]
        for index in stored.indices where !isPiece[index] {
            let name = stored[index].entry.name
            guard let suffix = suffixes.first(where: { name.utf8.reversed().starts(with: $0.utf8.reversed()) }) else {
                continue
            }
            let weight = String(name.dropLast(suffix.count))
            // Some other model may well call a parameter "absmax".
            if suffix == BitsAndBytesNames.absmax, !anyQuantized, indices[weight] == nil { continue }
            throw .invalidQuantizedTensor(name: weight, problem: .orphan(piece: name))
        }
    }
}

/// Float32 values as a file stores them.
func littleEndianBytes(_ values: [Float]) -> [UInt8] {
    values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian, Array.init) }
}

func floats(littleEndian bytes: [UInt8]) -> [Float] {
    stride(from: 0, to: bytes.count - 3, by: 4).map { start in
        Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << (8 * UInt32($1)) })
    }
}
