import SystemPackage
import Tensors

/// Writes one safetensors file whose pieces are all known up front.
///
/// Everything has its place from the start but the quant states that wait for their offsets, which
/// ``complete(_:quantStates:)`` adds.
final class SafetensorsFileWriter: Sendable {
    /// A part of a tensor in this file.
    struct Location: Sendable {
        let offset: Int
        let byteCount: Int
    }

    /// A quant state that waits.
    struct Pending: Sendable {
        /// Index into the writer's tensors.
        let tensor: Int
        let piece: Int
    }

    /// The file's name in its directory.
    let name: String
    let pending: [Pending]
    /// Bytes of tensor data that the file waits for.
    let expectedBytes: Int
    private let pieces: [SafetensorsPiece]
    private let constants: [(piece: Int, bytes: [UInt8])]
    private let layout: SafetensorsLayout
    private let metadata: [String: String]
    private let locations: [Int: PartLocations]

    /// The parts of a tensor in this file.
    private struct PartLocations {
        private var values, codes, absmax, nestedAbsmax: Location?

        subscript(part: TensorPart) -> Location? {
            get {
                switch part {
                case .values: values
                case .codes: codes
                case .absmax: absmax
                case .nestedAbsmax: nestedAbsmax
                }
            }
            set {
                switch part {
                case .values: values = newValue
                case .codes: codes = newValue
                case .absmax: absmax = newValue
                case .nestedAbsmax: nestedAbsmax = newValue
                }
            }
        }
    }

    /// Lays out a file; nothing is written yet.
    ///
    /// - Parameter tensors: Indices of tensors with their pieces.
    init(name: String, tensors: [(index: Int, pieces: [PlannedPiece])], metadata: [String: String])
        throws(CheckpointError)
    {
        self.name = name
        self.metadata = metadata
        pieces = tensors.flatMap { $0.pieces.map(\.piece) }
        layout = try SafetensorsLayout(pieces: pieces, metadata: metadata)
        var pending: [Pending] = []
        var constants: [(piece: Int, bytes: [UInt8])] = []
        var locations = [Int: PartLocations](minimumCapacity: tensors.count)
        var expectedBytes = 0
        var position = 0
        for (index, planned) in tensors {
            var parts = PartLocations()
            for piece in planned {
                switch piece.content {
                case .part(let part):
                    parts[part] = Location(offset: layout.offsets[position], byteCount: piece.piece.byteCount)
                    expectedBytes += piece.piece.byteCount
                case .constant(let bytes): constants.append((position, bytes))
                case .pendingQuantState: pending.append(Pending(tensor: index, piece: position))
                }
                position += 1
            }
            locations[index] = parts
        }
        self.pending = pending
        self.constants = constants
        self.locations = locations
        self.expectedBytes = expectedBytes
    }

    /// The size of the file in bytes, before quant states that wait turn out shorter.
    var fileSize: Int { layout.fileSize }
    /// The names of everything in the file.
    var pieceNames: [String] { pieces.map(\.name) }
    /// The pieces that are known from the start.
    var constantPieces: [(name: String, bytes: [UInt8])] { constants.map { (pieces[$0.piece].name, $0.bytes) } }

    func location(of part: TensorPart, ofTensor tensor: Int) -> Location? { locations[tensor]?[part] }

    /// Creates the file with its full size. What is known already goes there with the data around it.
    func start(at path: FilePath) throws(FileError) -> WindowedOutput {
        let file = try OutputFile(creating: path)
        try file.preallocate(layout.fileSize)
        var known = constants.map { (layout.offsets[$0.piece], $0.bytes) }
        // With quant states that wait it becomes another one.
        if pending.isEmpty { known.append((0, layout.header)) }
        return WindowedOutput(file, byteCount: layout.fileSize, constants: known, expectedBytes: expectedBytes)
    }

    /// The file's layout once the quant states that waited are known.
    func finalLayout(_ quantStates: [Int: [UInt8]]) throws(CheckpointError) -> SafetensorsLayout {
        guard !quantStates.isEmpty else { return layout }
        var exact = pieces
        for (piece, bytes) in quantStates {
            exact[piece].shape = [bytes.count]
            exact[piece].byteCount = bytes.count
        }
        return try SafetensorsLayout(pieces: exact, metadata: metadata, headerSize: layout.header.count)
    }

    /// The names of quant states that waited, with their bytes.
    func pieces(_ quantStates: [Int: [UInt8]]) -> [(name: String, bytes: [UInt8])] {
        quantStates.map { (pieces[$0.key].name, $0.value) }
    }

    /// Adds the quant states that waited, and writes what is not in the file yet. The file is then to be synced.
    ///
    /// - Parameter quantStates: by piece, one for each of ``pending``.
    /// - Returns: bytes of data in the file, without its header.
    func complete(_ output: WindowedOutput, quantStates: [Int: [UInt8]]) throws -> Int {
        let layout = try finalLayout(quantStates)
        if !quantStates.isEmpty { try output.write(layout.header, at: 0) }
        for (piece, bytes) in quantStates { try output.write(bytes, at: layout.offsets[piece]) }
        try output.finish()
        if !quantStates.isEmpty { try output.file.resize(to: layout.fileSize) }
        return layout.fileSize - layout.header.count
    }
}
