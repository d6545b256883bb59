import SystemPackage
import Tensors

/// A model: a directory as Hugging Face lays it out, with weights, `config.json` and side files; one weights file with or
/// without them beside it; or an NF4 container, which holds all of them.
public struct ModelDirectory: Sendable {
    /// The path as it was given.
    public let path: FilePath
    public let reader: any CheckpointReader
    /// `config.json`; `nil` when there is none.
    public let config: ModelConfig?
    /// A quantization that the model uses and that we cannot decode.
    public let foreignQuantization: ForeignQuantization?

    /// The container, if the model is one.
    public let container: NF4ContainerReader?

    /// The side files beside the weights; those inside a container are read when they are asked for.
    private let storedSideFiles: [SideFile]

    /// Opens a model.
    ///
    /// - Parameter path: A directory with `model.safetensors`, `model.safetensors.index.json` or a single other
    ///   `*.safetensors`, else with `pytorch_model.bin` or its index; or a `.safetensors` or PyTorch file; or an index; or
    ///   an NF4 container.
    /// - Throws: ``CheckpointError`` saying what is there instead, or what is wrong with it; ``Tensors/FileError``.
    public init(path: FilePath) throws {
        if let container = try ModelDirectory.openContainer(path) {
            try self.init(path: path, container: container)
        } else {
            try self.init(weightsAt: path)
        }
    }

    private init(weightsAt path: FilePath) throws {
        let isDirectory = FileSystem.kind(of: path) == .directory
        let directory = isDirectory ? path : path.removingLastComponent()
        let checkpoint = try isDirectory ? ModelDirectory.openWeights(in: path) : WeightsCheckpoint(path: path)
        self.path = path
        reader = checkpoint
        container = nil
        let configPath = directory.appending(ModelFiles.config)
        let hasConfig = FileSystem.kind(of: configPath) == .file
        config = hasConfig ? try ModelConfig(path: configPath) : nil
        // Beside a lone file anything may lie; a config.json says that it is a model's directory.
        let isModelDirectory = hasConfig || isDirectory
        storedSideFiles = try (isModelDirectory ? SideFileSelection.names(in: directory) : []).map {
            SideFile(name: $0, content: .copy(of: directory.appending($0.components)))
        }
        foreignQuantization = config?.foreignQuantization ?? checkpoint.foreignQuantization
    }

    /// Opens a container; `nil` when the path is no file that starts like one.
    private static func openContainer(_ path: FilePath) throws -> NF4ContainerReader? {
        guard FileSystem.kind(of: path) == .file else { return nil }
        let file = try InputFile(path: path)
        let firstBytes = try file.bytes(0..<min(file.size, 8))
        guard !PatchReader.recognizes(firstBytes) else {
            throw CheckpointError.notACheckpoint(
                path: path, found: "is a patch, which leads from one model to another",
                wayOut: "make the model first: qconv patch apply BASE \(path) DIRECTORY")
        }
        guard NF4ContainerReader.recognizes(firstBytes) else { return nil }
        return try NF4ContainerReader(path: path)
    }

    private init(path: FilePath, container: NF4ContainerReader) throws {
        // A container compares bytes.
        for tensors in [container.tensors] + container.adapters.map(\.tensors) {
            guard let names = EquivalentNames(among: tensors.lazy.map(\.name)) else { continue }
            throw CheckpointError.notACheckpoint(
                path: path, found: "the names of tensors \(names.problem)", wayOut: EquivalentNames.wayOut)
        }
        self.path = path
        self.container = container
        reader = container
        config = try container.sideFile(ModelFiles.config).map { (bytes) throws(CheckpointError) in
            try ModelConfig(parsing: bytes, path: path.appending(ModelFiles.config))
        }
        storedSideFiles = []
        foreignQuantization = config?.foreignQuantization
    }

    /// The side files beside the weights; those inside a container are part of it.
    package var sideFilePaths: [FilePath] {
        storedSideFiles.compactMap { if case .copy(let path) = $0.content { path } else { nil } }
    }

    /// The files that a model given by one of them has; none when it is a directory, where they lie inside, or a container.
    package var looseFiles: [FilePath] {
        container == nil && FileSystem.kind(of: path) != .directory ? reader.files + sideFilePaths : []
    }

    /// The names of the side files.
    public var sideFileNames: [String] {
        container?.sideFiles ?? storedSideFiles.map(\.name.string)
    }

    /// The side files as they are.
    ///
    /// - Throws: ``CheckpointError`` or ``Tensors/FileError`` when those inside a container cannot be read.
    func storedFiles() throws -> [SideFile] {
        guard let container else { return storedSideFiles }
        return try container.sideFiles.map { name in
            SideFile(name: FilePath(name), content: .bytes(try container.sideFile(name) ?? []))
        }
    }

    /// The side files of an output: the input's, with another config.json.
    ///
    /// - Parameter config: The output's config.json; `nil` for none.
    /// - Throws: as ``storedFiles()``.
    public func sideFiles(config: ModelConfig?) throws -> [SideFile] {
        var files = try storedFiles()
        files.removeAll { $0.name == FilePath(ModelFiles.config) }
        if let config { files.insert(SideFile(name: ModelFiles.config, content: .bytes(config.bytes)), at: 0) }
        return files
    }

    private static func openWeights(in directory: FilePath) throws -> WeightsCheckpoint {
        let names = try FileSystem.names(in: directory)
        for name in [ModelFiles.weights, ModelFiles.index] where names.contains(name) {
            return try WeightsCheckpoint(path: directory.appending(name))
        }
        let candidates = names.filter { $0.hasSuffix(".safetensors") && !$0.hasPrefix(".") }
        if candidates.contains(AdapterFiles.weights) || names.contains(AdapterFiles.configuration) {
            throw CheckpointError.notACheckpoint(
                path: directory, found: "is a PEFT adapter, not a model",
                wayOut: "give the base model here and attach the adapter with \"attach-adapter\"")
        }
        if candidates.count == 1 { return try WeightsCheckpoint(path: directory.appending(candidates[0])) }
        // Safetensors first, as transformers does where a directory has both.
        for name in [ModelFiles.pickledWeights, ModelFiles.pickledIndex]
        where candidates.isEmpty && names.contains(name) {
            return try WeightsCheckpoint(path: directory.appending(name))
        }
        throw notACheckpoint(directory, names: names, candidates: candidates)
    }

    private static func notACheckpoint(_ directory: FilePath, names: [String], candidates: [String]) -> CheckpointError
    {
        if !candidates.isEmpty {
            let shards = candidates.contains { $0.contains("-of-") }
            return .notACheckpoint(
                path: directory,
                found: "has \(candidates.count) safetensors files (\(list(candidates))) and no \(ModelFiles.index)",
                wayOut: shards
                    ? "the index says which shard holds what: download it too" : "give the path of one of the files")
        }
        let indices = names.filter { $0.hasSuffix(".safetensors.index.json") }
        if !indices.isEmpty {
            return .notACheckpoint(
                path: directory, found: "has \(list(indices)) but not its shards",
                wayOut: "was the model downloaded completely?")
        }
        let pickles = names.filter { WeightsFormat(fileName: $0) == .pyTorch }
        if !pickles.isEmpty {
            return .notACheckpoint(
                path: directory,
                found: "has PyTorch files (\(list(pickles))) but neither safetensors nor \(ModelFiles.pickledWeights)",
                wayOut: "give the path of one of the files, or of their index")
        }
        let ggufs = names.filter { $0.hasSuffix(".gguf") }
        if !ggufs.isEmpty {
            return .notACheckpoint(
                path: directory, found: "has GGUF files (\(list(ggufs))) but no safetensors",
                wayOut: "give the model they were made from")
        }
        let nearby = names.filter { name in
            [ModelFiles.config, AdapterFiles.configuration].contains {
                FileSystem.kind(of: directory.appending(name).appending($0)) == .file
            }
        }
        if !nearby.isEmpty {
            return .notACheckpoint(
                path: directory,
                found: "has no *.safetensors, but directories with models or adapters: \(list(nearby))",
                wayOut: "give one of them")
        }
        return .notACheckpoint(
            path: directory, found: names.isEmpty ? "is empty" : "has no *.safetensors (it has \(list(names)))",
            wayOut: "give a directory that transformers' save_pretrained wrote, or a .safetensors file")
    }

    private static func list(_ names: [String]) -> String {
        names.prefix(3).joined(separator: ", ") + (names.count > 3 ? " and \(names.count - 3) more" : "")
    }
}
