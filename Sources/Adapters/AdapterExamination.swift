import Checkpoints
import LosslessJSON
import SystemPackage
import Tensors

/// An adapter opened as far as it can be, with everything that stands against merging it.
///
/// Opening an adapter ends with the first kind of problem. Here what was refused is taken away, field by field and tensor by
/// tensor, and the rest is opened again, until it opens or nothing can be taken away: so every rule that opening knows is
/// applied, and all that it objects to is collected.
public struct AdapterExamination: Sendable {
    /// The adapter's directory.
    public let directory: FilePath
    /// What opening objected to, in the order in which it was met.
    public private(set) var errors: [AdapterError] = []
    /// What is wrong with the file of weights as a file.
    public private(set) var weightsError: CheckpointError?
    /// `adapter_config.json`; `nil` when it cannot be read.
    public private(set) var document: JSONValue?
    /// All tensors of the file; `nil` when it cannot be read.
    public private(set) var weights: (any CheckpointReader)?
    /// The names of the file's tensors, as `save_pretrained` would have written them.
    public var tensorNames: [String] { StateDictNames(weights?.tensors.map(\.name) ?? []).names }
    /// The fields of the configuration that were refused or are missing, and that ``adapter`` does without or has a stand-in
    /// for.
    public private(set) var fieldsSetAside: Set<String> = []
    /// What is left without everything that was refused. Not for merging.
    public private(set) var adapter: LoRAAdapter?

    /// Opens what there is.
    ///
    /// - Throws: ``Tensors/FileError`` when a file cannot be read; ``AdapterError/notADirectory(_:)``.
    public init(directory: FilePath) throws {
        self.directory = directory
        let location: AdapterDirectory
        do {
            location = try AdapterDirectory(directory)
        } catch let error as AdapterError {
            if case .notADirectory = error { throw error }
            errors = [error]
            return
        }
        do {
            document = try LoRAAdapter.parseDocument(
                LoRAAdapter.readConfiguration(location.configuration), file: location.configuration)
        } catch let error as AdapterError {
            errors.append(error)
        }
        do {
            weights = try AdapterFiles.openWeights(location.weights)
        } catch let error as CheckpointError {
            weightsError = error
        }
        guard let document, let weights else { return }
        open(document, weights, location)
    }

    private mutating func open(
        _ document: JSONValue, _ weights: any CheckpointReader, _ location: AdapterDirectory
    ) {
        var rest = document
        var left = TensorSelection(of: weights)
        while true {
            do {
                adapter = try LoRAAdapter(
                    directory: directory, configurationFile: location.configuration,
                    configurationBytes: Array(rest.serialized().utf8), weightsFile: location.weights, weights: left,
                    files: [location.configuration, location.weights])
                return
            } catch let error as AdapterError {
                // That nothing is left is no fault of a file that had something.
                if case .empty = error, !weights.tensors.isEmpty { return }
                errors.append(error)
                guard remove(error, from: &rest, &left) else { return }
            } catch {
                return
            }
        }
    }

    /// Takes away what an error is about.
    ///
    /// - Returns: Whether there was something to take away.
    private mutating func remove(
        _ error: AdapterError, from document: inout JSONValue, _ tensors: inout TensorSelection
    ) -> Bool {
        /// What the rest is looked at with in the place of a field without which nothing opens; `nil` for other fields.
        func standIn(for field: String) -> JSONValue? {
            switch field {
            case "peft_type": "LORA"
            case "r", "lora_alpha": .int(tensors.likelyRank)
            default: nil
            }
        }
        func removeField(_ key: String) -> Bool {
            // A pattern's path is key["pattern"].
            let field = String(key.prefix { $0 != "[" })
            fieldsSetAside.insert(field)
            let found = document[field]
            document[field] = standIn(for: field)
            return found != document[field]
        }
        switch error {
        case .missingKey(_, let key, _): return removeField(key)
        case .wrongValue(_, let key?, _, _), .invalidPattern(_, let key, _): return removeField(key)
        case .unsupportedFields(_, let fields): return fields.map { removeField($0.key) }.contains(true)
        case .unsupportedTensors(_, let unsupported):
            return tensors.remove { name in unsupported.contains { $0.name == name } }
        case .inconsistentTensors(_, let problems):
            return tensors.remove { name in problems.contains { $0.concerns(tensor: name) } }
        default: return false
        }
        return true
    }
}

/// Some of the tensors of a file.
private struct TensorSelection: CheckpointReader {
    private let reader: any CheckpointReader
    private var indices: [Int]

    init(of reader: any CheckpointReader) {
        self.reader = reader
        indices = Array(reader.tensors.indices)
    }

    var tensors: [LogicalTensor] { indices.map { reader.tensors[$0] } }
    var metadata: [String: String] { reader.metadata }
    var files: [FilePath] { reader.files }

    func read(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        try reader.read(part, ofTensor: indices[tensor], at: offset, into: buffer)
    }

    /// - Returns: Whether a tensor was removed.
    mutating func remove(where isRemoved: (String) -> Bool) -> Bool {
        let count = indices.count
        let all = reader.tensors
        indices.removeAll { isRemoved(all[$0].name) }
        return indices.count < count
    }

    /// The smallest dimension that most tensors have: the rank, where a configuration does not say it.
    var likelyRank: Int {
        var counts: [Int: Int] = [:]
        for tensor in tensors { if let least = tensor.shape.min(), least > 0 { counts[least, default: 0] += 1 } }
        return counts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? 1
    }
}

extension AdapterTensorProblem {
    /// Whether a tensor of the file has a part in the problem.
    fileprivate func concerns(tensor name: String) -> Bool {
        // With one tensor of a module goes the module.
        let parts = subject.split(separator: ".", omittingEmptySubsequences: false)
        let module = parts.prefix { !$0.hasPrefix("lora_") }.joined(separator: ".")
        return name == module || name.contains("." + module + ".") || name.hasPrefix(module + ".")
    }
}
