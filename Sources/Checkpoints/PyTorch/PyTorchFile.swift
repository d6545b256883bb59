import SystemPackage
import Tensors

/// One file that `torch.save` wrote: a dictionary from names to tensors, in a zip archive (PyTorch 1.6 and later) or in
/// the older form, a chain of pickles with the data behind them.
///
/// Opening reads the pickle and checks every tensor against its storage and every storage against the file. Data is read
/// when it is asked for; what cannot be read piece by piece (deflated records, views that are not contiguous) is held
/// while it is in use, within a limit.
final class PyTorchFile: WeightsFile {
    /// The largest deflated record, and the largest view that is not contiguous, in bytes; and what is held altogether.
    static let heldLimit = 256 << 20

    let path: FilePath
    let contents: [WeightsEntry]
    var metadata: [String: String]? { nil }

    private let file: InputFile
    private let tensors: [PyTorchTensor]
    private let storages: [String: StoragePlace]
    private let held = DecodedCache<HeldKey>(limit: PyTorchFile.heldLimit)

    /// Where a storage's bytes are.
    enum StoragePlace: Sendable {
        /// As they are, from a byte of the file on.
        case file(offset: Int)
        case deflated(ZipArchive.Member)
    }

    private enum HeldKey: Hashable, Sendable {
        case storage(String)
        case span(Int)
    }

    /// What a file's container and pickle tell.
    struct Description {
        let tensors: [(name: String, tensor: PyTorchTensor)]
        let storages: [String: StoragePlace]
    }

    /// - Throws: ``CheckpointError/invalidPyTorch(file:problem:)``; ``Tensors/FileError`` when the file cannot be read.
    init(path: FilePath) throws {
        self.path = path
        file = try InputFile(path: path)
        do {
            let description = try PyTorchFile.describe(file)
            contents = description.tensors.map { name, tensor in
                WeightsEntry(name: name, dtype: tensor.dtype, shape: tensor.shape, byteCount: tensor.byteCount)
            }
            tensors = description.tensors.map(\.tensor)
            storages = description.storages
            try checkHeldSizes()
        } catch let problem as PyTorchProblem {
            throw CheckpointError.invalidPyTorch(file: path, problem: problem)
        } catch let problem as ZipProblem {
            throw CheckpointError.invalidPyTorch(file: path, problem: .zip(problem))
        }
    }

    private static func describe(_ file: InputFile) throws -> Description {
        let start = try file.bytes(0..<min(file.size, 512))
        if start.starts(with: [0x50, 0x4B]) { return try readArchive(file) }
        if start.first == 0x80 { return try readLegacy(file) }
        throw PyTorchProblem.unknownFormat(PyTorchProblem.FileKind(firstBytes: start))
    }

    private func checkHeldSizes() throws(PyTorchProblem) {
        for (entry, tensor) in zip(contents, tensors) where !tensor.span.isEmpty {
            if case .deflated(let member)? = storages[tensor.storageKey], member.size > PyTorchFile.heldLimit {
                throw .tooLargeToHold(
                    name: entry.name, reason: "is stored compressed", byteCount: member.size,
                    limit: PyTorchFile.heldLimit)
            }
            guard tensor.isContiguous || tensor.span.count <= PyTorchFile.heldLimit else {
                throw .tooLargeToHold(
                    name: entry.name, reason: "is a view that is not contiguous", byteCount: tensor.span.count,
                    limit: PyTorchFile.heldLimit)
            }
        }
    }

    // MARK: - Data

    func read(entry index: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        let tensor = tensors[index]
        precondition(offset >= 0 && buffer.count <= tensor.byteCount - offset, "range outside the tensor")
        guard !buffer.isEmpty, let place = storages[tensor.storageKey] else { return }
        do {
            switch (place, tensor.isContiguous) {
            case (.file(let start), true):
                try file.read(into: buffer, at: start + tensor.span.lowerBound + offset)
            case (.file(let start), false):
                let span = start + tensor.span.lowerBound..<start + tensor.span.upperBound
                let bytes = try held.bytes(.span(index), byteCount: span.count) { try file.bytes(span) }
                bytes.withUnsafeBytes { tensor.gather(from: $0, at: offset, into: buffer) }
            case (.deflated(let member), _):
                let bytes = try held.bytes(.storage(tensor.storageKey), byteCount: member.size) {
                    var bytes = [UInt8](repeating: 0, count: member.size)
                    try bytes.withUnsafeMutableBytes { try ZipArchive.read(member, of: file, into: $0) }
                    return bytes
                }
                bytes.withUnsafeBytes {
                    let span = UnsafeRawBufferPointer(rebasing: $0[tensor.span])
                    tensor.gather(from: span, at: offset, into: buffer)
                }
            }
        } catch let problem as ZipProblem {
            throw CheckpointError.invalidPyTorch(file: path, problem: .zip(problem))
        }
    }

    func withBytes(
        ofEntry index: Int, at offset: Int, using buffer: UnsafeMutableRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let tensor = tensors[index]
        guard case .file(let start)? = storages[tensor.storageKey], tensor.isContiguous else {
            try read(entry: index, at: offset, into: buffer)
            return try body(UnsafeRawBufferPointer(buffer))
        }
        precondition(offset >= 0 && buffer.count <= tensor.byteCount - offset, "range outside the tensor")
        try file.withBytes(
            at: start + tensor.span.lowerBound + offset, using: buffer, body)
    }
}

extension PyTorchProblem.FileKind {
    /// What a file that starts like this is.
    init(firstBytes: [UInt8]) {
        if firstBytes.isEmpty {
            self = .empty
        } else if firstBytes.starts(with: Array("version https://git-lfs".utf8)) {
            self = .pointer
        } else if firstBytes.count >= 262, firstBytes[257..<262].elementsEqual(Array("ustar".utf8)) {
            self = .tar
        } else if firstBytes.count > 8, firstBytes[8] == UInt8(ascii: "{") {
            self = .safetensors
        } else {
            self = .other
        }
    }
}
