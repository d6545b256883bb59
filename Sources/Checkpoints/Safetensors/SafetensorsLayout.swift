import LosslessJSON
import Tensors

/// A tensor that is to be written into a safetensors file.
public struct SafetensorsPiece: Hashable, Sendable {
    public var name: String
    public var dtype: DType
    /// Outermost dimension first.
    public var shape: [Int]
    /// The size of the data in bytes.
    public var byteCount: Int
    /// Whether the exact size is known only later, when `shape` and `byteCount` are what it takes at most.
    public var isDeferred: Bool

    public init(name: String, dtype: DType, shape: [Int], byteCount: Int, isDeferred: Bool = false) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.byteCount = byteCount
        self.isDeferred = isDeferred
    }
}

/// Where everything lies in a safetensors file that is to be written.
///
/// The order is the reference implementation's: dtypes of larger alignment first, then names by bytes, so a file of the
/// same tensors has the same bytes. Deferred pieces come last, and the header has room for their largest sizes; once the
/// sizes are exact, laying the pieces out again into the same room moves nothing else.
public struct SafetensorsLayout: Sendable {
    /// The header with its length field, padded with spaces to a multiple of 8.
    public let header: [UInt8]
    /// For each piece, in the order they were given, the first byte of its data in the file.
    public let offsets: [Int]
    public let fileSize: Int

    /// Lays pieces out.
    ///
    /// - Parameter headerSize: The room that the header takes, length field included; `nil` for what it needs.
    /// - Throws: ``CheckpointError/unwritable(reason:)`` when two pieces have one name, the header would be longer than
    ///   readers accept, or the file larger than files can be.
    public init(
        pieces: [SafetensorsPiece], metadata: [String: String], headerSize: Int? = nil
    ) throws(CheckpointError) {
        try SafetensorsLayout.checkNames(pieces, count: pieces.count)
        let order = SafetensorsLayout.referenceOrder(pieces)
        var offsets = [Int](repeating: 0, count: pieces.count)
        var json = Array("{\"__metadata__\":\(SafetensorsLayout.sorted(metadata).serialized(.compact))".utf8)
        json.reserveCapacity(json.count + pieces.count * SafetensorsLayout.typicalEntryLength)
        var position = 0
        for index in order {
            let piece = pieces[index]
            let (end, overflow) = position.addingReportingOverflow(piece.byteCount)
            guard !overflow, end <= Int.max / 2 else {
                throw .unwritable(reason: "the tensors up to \"\(piece.name)\" are larger than any file")
            }
            json.append(UInt8(ascii: ","))
            JSONValue.write(string: piece.name, escapingNonASCII: false, to: &json)
            json += ":{\"dtype\":\"".utf8
            json += piece.dtype.rawValue.utf8
            json += "\",\"shape\":".utf8
            JSONValue.write(integers: piece.shape, to: &json)
            json += ",\"data_offsets\":".utf8
            JSONValue.write(integers: [position, end], to: &json)
            json.append(UInt8(ascii: "}"))
            offsets[index] = position
            position = end
        }
        json.append(UInt8(ascii: "}"))
        let length = headerSize.map { $0 - 8 } ?? (json.count + 7) / 8 * 8
        guard length >= json.count, length <= SafetensorsHeader.maximumLength else {
            throw .unwritable(
                reason: """
                    the header of \(pieces.count) tensors takes \(json.count) bytes, more than a safetensors header may \
                    have; write shards (max_shard_size)
                    """)
        }
        json += repeatElement(UInt8(ascii: " "), count: length - json.count)
        header = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + json
        let dataStart = header.count
        self.offsets = offsets.map { dataStart + $0 }
        fileSize = dataStart + position
    }

    /// What reserving memory counts with; a header may well need more.
    private static let typicalEntryLength = 160

    private static func referenceOrder(_ pieces: [SafetensorsPiece]) -> [Int] {
        // Deferred pieces come after all ranks.
        let deferred = DType.allCases.count
        let ranks = Dictionary(uniqueKeysWithValues: DType.allCases.map { ($0, -$0.layoutRank) })
        let keys = pieces.enumerated().map { index, piece in
            let rank = ranks[piece.dtype, default: 0]
            return (group: piece.isDeferred ? rank + deferred : rank, name: piece.name, index: index)
        }
        let sorted = keys.sorted { $0.group != $1.group ? $0.group < $1.group : $0.name.precedesByBytes($1.name) }
        return sorted.map(\.index)
    }

    /// Refuses pieces of which two have one name, or one has a name that is reserved.
    static func checkNames(_ pieces: some Sequence<SafetensorsPiece>, count: Int) throws(CheckpointError) {
        var names = Set<String>(minimumCapacity: count + 1)
        names.insert("__metadata__")
        for piece in pieces {
            let (isNew, other) = names.insert(piece.name)
            guard !isNew else { continue }
            throw .unwritable(
                reason: EquivalentNames(other, piece.name).map { "the names of tensors \($0)" }
                    ?? "two tensors would be named \"\(piece.name)\"")
        }
    }

    private static func sorted(_ metadata: [String: String]) -> JSONValue {
        let members = metadata.sorted { $0.key.precedesByBytes($1.key) }
        return .object(.init(uniqueKeysWithValues: members.map { ($0.key, .string($0.value)) }))
    }
}
