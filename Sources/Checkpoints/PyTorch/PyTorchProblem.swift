import Tensors

/// Every way in which a file can fail to be a PyTorch file of tensors.
public enum PyTorchProblem: Error, Hashable, Sendable {
    // The container

    /// Neither a zip archive nor a pickle.
    case unknownFormat(FileKind)
    case zip(ZipProblem)
    /// A zip archive without the record, or with several.
    case missingRecord(String)
    case severalPickles([String])
    case bigEndian
    case invalidByteOrder(String)
    case recordTooLarge(record: String, byteCount: Int, limit: Int)

    // The pickle

    /// The pickle wants an object that is neither a tensor nor what tensors are made of.
    case forbiddenGlobal(String)
    /// An instruction that no saved tensor needs.
    case forbiddenOpcode(String, at: Int)
    /// An instruction that is allowed, with operands that it is not.
    case forbiddenUse(opcode: String, reason: String, at: Int)
    case truncatedPickle(at: Int)
    /// Operands that are missing, or of the wrong kind.
    case malformedPickle(reason: String, at: Int)
    case tooManyValues(limit: Int)
    case pickleTooLong(limit: Int)

    // The tensors

    /// The file holds something else than a dictionary.
    case notADictionary(found: String)
    case nameIsNoString(found: String)
    case notATensor(name: String, found: String)
    case duplicateName(String)
    case equivalentNames(EquivalentNames)
    case unsupportedDType(String)
    /// A tensor whose storage, shape or strides are impossible or not supported.
    case invalidTensor(name: String?, reason: String)
    case invalidStorage(key: String, reason: String)
    /// The data of storages ends before or goes on after the file's last storage.
    case dataSize(reason: String)
    /// Data that cannot be read piece by piece, and is too large to be held in memory.
    case tooLargeToHold(name: String, reason: String, byteCount: Int, limit: Int)

    /// What a file is that is no PyTorch file.
    public enum FileKind: String, Hashable, Sendable {
        case empty = "is empty"
        case pointer = "is a Git LFS pointer, not the file itself; fetch it with \"git lfs pull\""
        case tar = "is a tar archive, PyTorch's format before version 0.2; load it with PyTorch and save it again"
        case torchScript = "is a TorchScript program; save the state_dict of its module in its place"
        case safetensors = "is a safetensors file under another name; rename it to .safetensors"
        case other = "is no file that torch.save wrote; was it downloaded completely?"
    }
}

extension PyTorchProblem: CustomStringConvertible {
    private static let wayOut = """
        only tensors are read from pickles, nothing is executed; if you trust the file, load it with PyTorch and save its \
        tensors with safetensors.torch.save_file
        """

    public var description: String {
        switch self {
        case .unknownFormat(let kind): kind.rawValue
        case .zip(let problem): "\(problem)"
        case .missingRecord(let record):
            "the archive has no \(record); it is cut short or was not written by torch.save"
        case .severalPickles(let names): "the archive has several pickles: \(names.joined(separator: ", "))"
        case .bigEndian:
            "holds big-endian values; load it with PyTorch and save it again on a little-endian machine"
        case .invalidByteOrder(let found): "the record byteorder should be \"little\" or \"big\", found \"\(found)\""
        case .recordTooLarge(let record, let byteCount, let limit):
            "the record \(record) has \(byteCount) bytes, more than the \(limit) that are read"
        case .forbiddenGlobal(let name): "the pickle asks for \(name): \(PyTorchProblem.wayOut)"
        case .forbiddenOpcode(let name, let position):
            "the pickle has the instruction \(name) at byte \(position): \(PyTorchProblem.wayOut)"
        case .forbiddenUse(let opcode, let reason, let position):
            "the pickle's instruction \(opcode) at byte \(position) \(reason): \(PyTorchProblem.wayOut)"
        case .truncatedPickle(let position):
            "the pickle ends at byte \(position), before its end; the file is truncated: download or copy it again"
        case .malformedPickle(let reason, let position): "the pickle is broken at byte \(position): \(reason)"
        case .tooManyValues(let limit): "the pickle makes more than \(limit) values, too many for tensors' names"
        case .pickleTooLong(let limit): "the pickle has more than \(limit) bytes, too many for tensors' names"
        case .notADictionary(let found):
            "holds \(found) where a dictionary from names to tensors is expected; save a state_dict"
        case .nameIsNoString(let found): "a key of the dictionary is \(found); tensors' names are strings"
        case .notATensor(let name, let found):
            """
            "\(name)" is \(found), not a tensor; a state_dict holds tensors only: load the file with PyTorch and save \
            the part that is one by itself
            """
        case .duplicateName(let name): "the dictionary has \"\(name)\" twice"
        case .equivalentNames(let names): "the names of tensors \(names)"
        case .unsupportedDType(let name): "holds values of \(name), a type that safetensors does not have"
        case .invalidTensor(let name, let reason): "\(name.map { "tensor \"\($0)\"" } ?? "a tensor"): \(reason)"
        case .invalidStorage(let key, let reason): "storage \"\(key)\": \(reason)"
        case .dataSize(let reason): reason
        case .tooLargeToHold(let name, let reason, let byteCount, let limit):
            """
            tensor "\(name)" \(reason), and its \(byteCount) bytes are more than the \(limit) that are held for such a \
            one; load the file with PyTorch and save its tensors with safetensors.torch.save_file
            """
        }
    }
}
