import Tensors
import Workers

/// Groups the tensors of a checkpoint's files into logical tensors: bitsandbytes' pieces `W`, `W.absmax`, … become one
/// 4-bit tensor `W`, wherever they lie; everything else is a dense tensor.
struct BitsAndBytesGrouping: Sendable {
    private let stored: [StoredTensor]
    private let indices: [String: Int]
    /// Reads all bytes of a small piece.
    private let bytes: @Sendable (StoredTensor) throws -> [UInt8]

    /// A 4-bit tensor that is to be put together.
    private struct Group: Sendable {
        let weight: String
        let main: Int
        let quantState: Int
        let quantType: QuantType
    }

    /// Groups that a thread should have at least: below that it costs more than it saves.
    private static let groupsPerThread = 64

    init(_ stored: [StoredTensor], bytes: @escaping @Sendable (StoredTensor) throws -> [UInt8]) {
        self.stored = stored
        self.bytes = bytes
        indices = Dictionary(stored.enumerated().map { ($0.element.entry.name, $0.offset) }, uniquingKeysWith: { $1 })
    }

    /// The logical tensors, in the order of their main pieces.
    ///
    /// - Throws: ``CheckpointError/invalidQuantizedTensor(name:problem:)`` and what reading throws.
    func logicalTensors() throws -> [LocatedTensor] {
        let groups = try groups()
        let threads = min(coreCount, groups.count / BitsAndBytesGrouping.groupsPerThread)
        let results = mapOnThreads(groups.count, threads: max(threads, 1)) { index in
            var pieces = [groups[index].quantState]
            return Result { (tensor: try tensor(of: groups[index], &pieces), pieces: pieces) }
        }
        var quantized: [Int: LocatedTensor] = [:]
        var isPiece = [Bool](repeating: false, count: stored.count)
        for (group, result) in zip(groups, results) {
            do {
                let (tensor, pieces) = try result.get()
                quantized[group.main] = tensor
                for piece in pieces { isPiece[piece] = true }
            } catch let problem as QuantizedTensorProblem {
                throw CheckpointError.invalidQuantizedTensor(name: group.weight, problem: problem)
            }
        }
        try checkOrphans(isPiece, anyQuantized: !quantized.isEmpty)
        return stored.indices.compactMap { index in
            if let tensor = quantized[index] { return tensor }
            guard !isPiece[index] else { return nil }
            let entry = stored[index].entry
            return LocatedTensor(
                tensor: LogicalTensor(name: entry.name, shape: entry.shape, encoding: .dense(entry.dtype)),
                main: stored[index])
        }
    }

    /// The 4-bit tensors that the names tell of, by the order of their quant states.
    private func groups() throws(CheckpointError) -> [Group] {
        var groups: [Group] = []
        var mains: Set<Int> = []
        for index in stored.indices {
            let name = stored[index].entry.name
            guard let (weight, suffix) = BitsAndBytesNames.splitQuantState(name) else { continue }
            func invalid(_ problem: QuantizedTensorProblem) -> CheckpointError {
                .invalidQuantizedTensor(name: weight, problem: problem)
            }
            guard let quantType = QuantType(rawValue: suffix) else { throw invalid(.unknownQuantState(piece: name)) }
            guard let main = indices[weight] else { throw invalid(.missingPiece(name: weight)) }
            guard mains.insert(main).inserted else { throw invalid(.severalQuantStates) }
            groups.append(Group(weight: weight, main: main, quantState: index, quantType: quantType))
        }
        return groups
    }

    /// Checks the pieces of one weight against its quant state.
    ///
    /// - Parameter pieces: Takes up the indices of those that lie beside the codes.
    private func tensor(of group: Group, _ pieces: inout [Int]) throws -> LocatedTensor {
        let main = stored[group.main]
        let quantType = group.quantType
        let name = main.entry.name
        let text = try quantStateBytes(stored[group.quantState])
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
            name + BitsAndBytesNames.absmax, dtype: state.nested == nil ? .f32 : .u8, count: scales, &pieces)
        var nestedAbsmax: StoredTensor?
        try checkCodebook(name + BitsAndBytesNames.quantMap, quantType, &pieces)
        if let nested = state.nested {
            let double = DoubleQuantization(
                blocksize: nested.blocksize, offset: nested.offset,
                codebook: try nestedCodebook(name + BitsAndBytesNames.nestedQuantMap, &pieces))
            nestedAbsmax = try piece(
                name + BitsAndBytesNames.nestedAbsmax, dtype: .f32, count: double.blockCount(scales: scales),
                &pieces)
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
    private func piece(
        _ name: String, dtype: DType, count: Int, _ pieces: inout [Int]
    ) throws(QuantizedTensorProblem) -> StoredTensor {
        guard let index = indices[name] else { throw .missingPiece(name: name) }
        let entry = stored[index].entry
        guard entry.dtype == dtype, entry.shape == [count] else {
            throw .wrongPiece(
                piece: name, expected: "\(dtype.rawValue) [\(count)]",
                found: "\(entry.dtype.rawValue) \(entry.shape)")
        }
        pieces.append(index)
        return stored[index]
    }

    private func checkCodebook(_ name: String, _ quantType: QuantType, _ pieces: inout [Int]) throws {
        let found = try bytes(try piece(name, dtype: .f32, count: 16, &pieces))
        guard found == StandardTables.quantMap(quantType) else {
            throw QuantizedTensorProblem.nonStandardCodebook(piece: name, quantType: quantType)
        }
    }

    /// The levels of the scales when they are not the standard ones. bitsandbytes decodes with the stored ones.
    private func nestedCodebook(_ name: String, _ pieces: inout [Int]) throws -> [Float]? {
        let found = try bytes(try piece(name, dtype: .f32, count: 256, &pieces))
        guard found != StandardTables.dynamicMap else { return nil }
        return floats(littleEndian: found)
    }

    /// Refuses pieces whose weight has no quant state: passing them on as tensors of their own would hide the damage.
    private func checkOrphans(_ isPiece: [Bool], anyQuantized: Bool) throws(CheckpointError) {
        let suffixes = [
            BitsAndBytesNames.quantMap, BitsAndBytesNames.nestedAbsmax, BitsAndBytesNames.nestedQuantMap,
            BitsAndBytesNames.absmax,
        ]
        for index in stored.indices where !isPiece[index] {
            let name = stored[index].entry.name
            guard let suffix = suffixes.first(where: { name.endsWithBytes($0) }) else {
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
