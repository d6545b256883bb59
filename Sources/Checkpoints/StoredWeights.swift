import SystemPackage
import Tensors

/// The weights files of a checkpoint and the logical tensors in them: bitsandbytes' 4-bit weights and dense tensors.
struct StoredWeights<File: WeightsFile>: Sendable {
    /// In the order of the files and of what each holds.
    let tensors: [LogicalTensor]
    /// Metadata of all files together; where two disagree the first file's value stands.
    let metadata: [String: String]
    let foreignQuantization: ForeignQuantization?

    private let files: [File]
    private let located: [LocatedTensor]

    /// - Throws: ``CheckpointError/invalidQuantizedTensor(name:problem:)``, and what reading the small tables of 4-bit
    ///   weights throws.
    init(_ files: [File]) throws {
        self.files = files
        metadata = files.reduce(into: [:]) { $0.merge($1.metadata ?? [:]) { first, _ in first } }
        let stored = files.enumerated().flatMap { file, weights in
            weights.contents.enumerated().map { StoredTensor(entry: $0.element, file: file, index: $0.offset) }
        }
        var grouping = BitsAndBytesGrouping(stored) { tensor in
            var bytes = [UInt8](repeating: 0, count: tensor.entry.byteCount)
            try bytes.withUnsafeMutableBytes { try files[tensor.file].read(entry: tensor.index, at: 0, into: $0) }
            return bytes
        }
        located = try grouping.logicalTensors()
        tensors = located.map(\.tensor)
        foreignQuantization = ForeignQuantization(tensorNames: stored.lazy.map(\.entry.name))
    }

    /// As ``CheckpointReader/read(_:ofTensor:at:into:)``.
    func read(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        let stored = try entry(part, ofTensor: tensor, at: offset, count: buffer.count)
        try files[stored.file].read(entry: stored.index, at: offset, into: buffer)
    }

    /// As ``CheckpointReader/withBytes(_:ofTensor:at:using:_:)``.
    func withBytes(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, using buffer: UnsafeMutableRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let stored = try entry(part, ofTensor: tensor, at: offset, count: buffer.count)
        try files[stored.file].withBytes(
            ofEntry: stored.index, at: offset, using: buffer, body)
    }

    /// What holds a part, which must hold the bytes asked for.
    private func entry(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, count: Int
    ) throws(CheckpointError) -> StoredTensor {
        let source = located[tensor]
        let byteCount = source.location(of: part)?.entry.byteCount ?? 0
        guard let stored = source.location(of: part), offset >= 0, offset <= byteCount, count <= byteCount - offset
        else {
            throw CheckpointError.outOfRange(
                tensor: source.tensor.name, part: part, range: offset..<max(offset, offset &+ count),
                byteCount: byteCount)
        }
        return stored
    }
}
