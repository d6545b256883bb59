import LosslessJSON
import SystemPackage
import Tensors

/// Why a checkpoint cannot be read, or an output not be written, other than the system's reasons (``Tensors/FileError``).
public enum CheckpointError: Error, Hashable, Sendable {
    case invalidSafetensors(file: FilePath, problem: SafetensorsProblem)
    case invalidIndex(file: FilePath, problem: ShardIndexProblem)
    case invalidPyTorch(file: FilePath, problem: PyTorchProblem)
    case invalidContainer(file: FilePath, problem: NF4ContainerProblem)
    case invalidPatch(file: FilePath, problem: PatchProblem)
    case invalidQuantizedTensor(name: String, problem: QuantizedTensorProblem)
    case noSuchTensor(file: FilePath, name: String)
    /// A read or write outside a tensor's part.
    case outOfRange(tensor: String, part: TensorPart, range: Range<Int>, byteCount: Int)
    /// A directory or file that holds no checkpoint we read; `wayOut` says what to do.
    case notACheckpoint(path: FilePath, found: String, wayOut: String)
    case invalidConfig(file: FilePath, reason: String)
    case invalidByteSize(text: String)

    // Outputs

    case destinationExists(FilePath)
    /// `--force` replaces models, not arbitrary directories or a file by a directory.
    case destinationNotReplaceable(path: FilePath, reason: String)
    /// What is written would destroy, or be destroyed by, something else that the run reads or writes.
    case destinationTaken(UsedPath, relation: DestinationRelation, by: UsedPath)
    case unusableDestination(path: FilePath, reason: String)
    /// Another process is writing the same destination.
    case destinationBusy(path: FilePath, staging: FilePath)
    /// Tensors that cannot be written as they are described.
    case unwritable(reason: String)
    /// Not every byte of every tensor was written.
    case incomplete(path: FilePath, written: Int, expected: Int)
}

/// How the path of an output or a report relates to another one.
public enum DestinationRelation: String, Hashable, Sendable {
    case same = "is"
    case inside = "lies inside"
    case contains = "contains"
}

extension CheckpointError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .invalidSafetensors(let file, let problem): "\(file): \(problem)"
        case .invalidIndex(let file, let problem): "\(file): \(problem)"
        case .invalidPyTorch(let file, let problem): "\(file): \(problem)"
        case .invalidContainer(let file, let problem): "\(file): \(problem)"
        case .invalidPatch(let file, let problem): "\(file): \(problem)"
        case .invalidQuantizedTensor(let name, let problem): "tensor \"\(name)\": \(problem)"
        case .noSuchTensor(let file, let name): "\(file): has no tensor \"\(name)\""
        case .outOfRange(let tensor, let part, let range, let byteCount):
            "tensor \"\(tensor)\": bytes \(range) lie outside its \(part.rawValue), which have \(byteCount)"
        case .notACheckpoint(let path, let found, let wayOut): "\(path): \(found); \(wayOut)"
        case .invalidConfig(let file, let reason): "\(file): \(reason)"
        case .invalidByteSize(let text):
            "\"\(text)\" is not a size; write a number of bytes, or one with KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024), such as 5GB"
        case .destinationExists(let path): "\(path): already exists; choose another path, or replace it with --force"
        case .destinationNotReplaceable(let path, let reason): "\(path): will not be replaced: \(reason)"
        case .destinationTaken(let destination, let relation, let other):
            "\(destination.path): the \(destination.role.rawValue) \(relation.rawValue) \(other.described(beside: destination.role)); write it somewhere else"
        case .unusableDestination(let path, let reason): "\(path): cannot be an output: \(reason)"
        case .destinationBusy(let path, let staging):
            "\(path): another process is writing it (\(staging) is locked); wait for it, or choose another path"
        case .unwritable(let reason): reason
        case .incomplete(let path, let written, let expected):
            "\(path): only \(written) of \(expected) bytes of tensor data were written; nothing was put in place"
        }
    }
}
