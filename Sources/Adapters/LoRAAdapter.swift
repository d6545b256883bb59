import Checkpoints
import LosslessJSON
import SystemPackage
import Tensors

/// A LoRA adapter as PEFT's `save_pretrained` writes it: `adapter_config.json` and `adapter_model.safetensors`, in older
/// ones `adapter_model.bin`.
///
/// Opening reads the configuration and the file's header and checks them against each other; factors are read when they
/// are asked for, and not kept. Safe to use from several threads at once.
public struct LoRAAdapter: Sendable {
    /// A configuration of more bytes is refused; PEFT's have a few kilobytes.
    private static let configurationLimit = 16 << 20

    /// The adapter's directory.
    public let directory: FilePath
    public let configuration: LoRAConfiguration
    /// The modules with low-rank updates, in the order of the file.
    public let modules: [LoRAModule]
    /// Everything that the adapter does to the base model; what concerns the same tensor, in the order it is applied in.
    public let changes: [AdapterChange]
    /// The files the adapter was read from, for fingerprints: the configuration, then the weights.
    public let files: [FilePath]

    /// How the names of the file's tensors differ from those that `save_pretrained` writes, in words; empty when they do not.
    public let nameRules: [String]

    /// The bytes of `adapter_config.json`.
    let configurationBytes: [UInt8]
    /// The tensors of the file, under the names that `save_pretrained` gives them.
    public let weights: any CheckpointReader
    /// The file that messages about weights name.
    let weightsFile: FilePath

    /// Opens an adapter.
    ///
    /// - Parameter directory: The directory that PEFT's `save_pretrained` wrote.
    /// - Throws: as ``init(directory:openWeights:)``, and ``CheckpointError`` when the weights' file is not valid.
    public init(directory: FilePath) throws {
        try self.init(directory: directory, openWeights: AdapterFiles.openWeights)
    }

    /// Opens an adapter whose weights are read in a particular way.
    ///
    /// - Parameters:
    ///   - directory: The directory that PEFT's `save_pretrained` wrote.
    ///   - openWeights: Makes a reader of the weights' file.
    /// - Throws: ``AdapterError`` when the directory holds no adapter, or one that a plain LoRA merge cannot reproduce;
    ///   ``Tensors/FileError`` when a file cannot be read.
    public init(directory: FilePath, openWeights: (FilePath) throws -> any CheckpointReader) throws {
        let location = try AdapterDirectory(directory)
        try self.init(
            directory: directory, configurationFile: location.configuration,
            configurationBytes: LoRAAdapter.readConfiguration(location.configuration), weightsFile: location.weights,
            weights: openWeights(location.weights), files: [location.configuration, location.weights])
    }

    /// Checks a configuration and weights against each other.
    init(
        directory: FilePath, configurationFile: FilePath, configurationBytes: [UInt8], weightsFile: FilePath,
        weights: any CheckpointReader, files: [FilePath]
    ) throws {
        let document = try LoRAAdapter.parseDocument(configurationBytes, file: configurationFile)
        let configuration = try LoRAConfiguration(document, file: configurationFile)
        let names = StateDictNames(weights.tensors.map(\.name))
        let weights: any CheckpointReader =
            names.rules.isEmpty ? weights : RenamedCheckpoint(weights, names: names.names)
        let rules = try ModuleRules(configuration, file: configurationFile)
        let tensors = try AdapterTensors(weights.tensors, file: weightsFile)
        var problems: [AdapterTensorProblem] = []
        func noting<Found>(_ body: () throws(AdapterTensorProblems) -> [Found]) -> [Found] {
            do throws(AdapterTensorProblems) {
                return try body()
            } catch {
                problems += error.all
                return []
            }
        }
        let modules = tensors.modules.flatMap { module in
            noting { () throws(AdapterTensorProblems) in [try module.described(by: rules)] }
        }
        let others =
            noting { () throws(AdapterTensorProblems) in try tensors.replacements(rules) }
            + noting { () throws(AdapterTensorProblems) in try tensors.trainedRows(rules) }
        guard problems.isEmpty else { throw AdapterError.inconsistentTensors(file: weightsFile, problems) }

        self.configurationBytes = configurationBytes
        self.files = files
        self.weightsFile = weightsFile
        self.directory = directory
        self.configuration = configuration
        self.weights = weights
        nameRules = names.rules
        self.modules = modules
        changes = others + modules.enumerated().flatMap { $0.element.changes(at: $0.offset) }
    }

    static func readConfiguration(_ path: FilePath) throws -> [UInt8] {
        let file = try InputFile(path: path)
        guard file.size <= configurationLimit else {
            throw AdapterError.configurationTooLarge(file: path, bytes: file.size, limit: configurationLimit)
        }
        return try file.bytes(0..<file.size)
    }

    static func parseDocument(_ bytes: [UInt8], file: FilePath) throws(AdapterError) -> JSONValue {
        do {
            return try JSONValue(parsing: bytes)
        } catch {
            throw .malformedJSON(file: file, error)
        }
    }
}
