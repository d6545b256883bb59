import LosslessJSON
import OrderedCollections
import Tensors

/// The safetensors files of a checkpoint that is to be written, laid out: which tensor lies where, and what is known before
/// any data.
package struct CheckpointFiles: Sendable {
    let tensors: [LogicalTensor]
    /// One a file.
    let writers: [SafetensorsFileWriter]
    /// For each tensor the index of its file.
    let fileOfTensor: [Int]
    /// Whether a size of shards was asked for, whatever their number.
    let hasShards: Bool
    private let pieces: [[PlannedPiece]]

    /// - Parameters:
    ///   - metadata: `__metadata__` of every file; `{"format": "pt"}`, which transformers wants, when empty.
    ///   - maximumShardSize: The most bytes of tensors a file; a larger tensor gets a file of its own. `nil`: one file.
    /// - Throws: ``CheckpointError/unwritable(reason:)`` when the tensors cannot be stored so.
    package init(
        tensors: [LogicalTensor], metadata: [String: String], maximumShardSize: Int?
    ) throws(CheckpointError) {
        if let size = maximumShardSize, size <= 0 {
            throw .unwritable(reason: "the largest shard size must be at least 1 byte, found \(size)")
        }
        let metadata = metadata.isEmpty ? ["format": "pt"] : metadata
        var pieces: [[PlannedPiece]] = []
        pieces.reserveCapacity(tensors.count)
        for tensor in tensors { pieces.append(try tensor.plannedPieces()) }
        let plan = ShardPlan(
            byteCounts: pieces.map { $0.reduce(0) { $0 + $1.piece.byteCount } }, maximumShardSize: maximumShardSize)
        // A tensor's pieces must not take another's name, in whatever shard that is. Within one file its layout refuses that.
        if plan.shards.count > 1 {
            let all = pieces.joined().lazy.map(\.piece)
            try SafetensorsLayout.checkNames(all, count: pieces.reduce(0) { $0 + $1.count })
        }
        var writers: [SafetensorsFileWriter] = []
        var fileOfTensor = [Int](repeating: 0, count: tensors.count)
        for (name, shard) in zip(plan.fileNames, plan.shards) {
            for tensor in shard { fileOfTensor[tensor] = writers.count }
            writers.append(
                try SafetensorsFileWriter(name: name, tensors: shard.map { ($0, pieces[$0]) }, metadata: metadata))
        }
        self.tensors = tensors
        self.pieces = pieces
        self.writers = writers
        self.fileOfTensor = fileOfTensor
        hasShards = maximumShardSize != nil
    }

    /// For each tensor the names under which its parts are stored.
    var pieceNames: [[TensorPart: String]] {
        pieces.map { planned in
            planned.reduce(into: [:]) { names, piece in
                if case .part(let part) = piece.content { names[part] = piece.piece.name }
            }
        }
    }

    /// Refuses a mean of scales that says that they hold NaN or infinity.
    func checkOffset(_ offset: Float, ofTensor tensor: Int) throws(CheckpointError) {
        guard offset.isFinite else {
            throw .unwritable(
                reason:
                    "tensor \"\(tensors[tensor].name)\": the mean of its scales is \(offset); it holds NaN or infinity")
        }
    }

    /// For each file the quant states that waited for the mean of the scales, by piece.
    ///
    /// - Parameter chosen: The files that they are asked for; `nil` for all.
    func quantStates(offsets: [Int: Float], ofFiles chosen: Set<Int>? = nil) throws(CheckpointError) -> [[Int: [UInt8]]]
    {
        var all: [[Int: [UInt8]]] = []
        for (index, writer) in writers.enumerated() {
            var states: [Int: [UInt8]] = [:]
            for pending in writer.pending where chosen?.contains(index) ?? true {
                states[pending.piece] = try quantState(ofTensor: pending.tensor, offset: offsets[pending.tensor])
            }
            all.append(states)
        }
        return all
    }

    private func quantState(ofTensor tensor: Int, offset: Float?) throws(CheckpointError) -> [UInt8] {
        let description = tensors[tensor]
        guard let offset, var quantization = description.encoding.blockQuantization,
            quantization.doubleQuantization != nil
        else {
            throw .unwritable(reason: "tensor \"\(description.name)\": the mean of its scales was never told")
        }
        quantization.doubleQuantization?.offset = offset
        return QuantState(quantization, shape: description.shape)?.encoded() ?? []
    }

    /// `model.safetensors.index.json` as transformers writes it; `nil` for a single file.
    ///
    /// - Parameter totalSize: Bytes of data in all files, without their headers.
    func indexBytes(totalSize: Int) -> [UInt8]? {
        guard writers.count > 1 else { return nil }
        let pairs = writers.flatMap { writer in writer.pieceNames.map { ($0, JSONValue.string(writer.name)) } }
        let sorted = pairs.sorted { $0.0.precedesByBytes($1.0) }
        let index: JSONValue = [
            "metadata": [
                "total_parameters": .int(tensors.reduce(0) { $0 + $1.elementCount }), "total_size": .int(totalSize),
            ],
            "weight_map": .object(OrderedDictionary(uniqueKeysWithValues: sorted)),
        ]
        return Array((index.serialized(.pythonIndented) + "\n").utf8)
    }

    /// The files as they will stand on disk.
    ///
    /// - Parameter quantStates: Of ``quantStates(offsets:)``; `nil` while they are not known, which leaves them as large
    ///   as they can become.
    func tree(quantStates: [[Int: [UInt8]]]?) throws -> PatchTree {
        PatchTree(
            files: try writers.enumerated().map { index, writer in
                let layout = try writer.finalLayout(quantStates?[index] ?? [:])
                let json = Array(layout.header[8...])
                let header = try SafetensorsHeader(json: json, fileSize: layout.fileSize)
                return PatchTree.File(name: writer.name, header: json, entries: header.entries)
            })
    }
}
