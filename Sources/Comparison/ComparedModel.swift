import Checkpoints
import LosslessJSON
import SystemPackage
import Tensors
import Workers

/// One side of a comparison: a model, or an adapter.
public struct ComparedModel: Sendable {
    public enum Kind: String, Hashable, Sendable {
        case model
        case adapter
    }

    /// The path as it was given.
    public let path: FilePath
    public let kind: Kind
    public let reader: any CheckpointReader
    /// `config.json`, or `adapter_config.json`; `nil` when there is none.
    public let configuration: JSONValue?
    /// The container, if the model is one; adapters may travel in it beside the weights.
    let container: NF4ContainerReader?
    /// Every file that belongs to it.
    public let files: [FilePath]

    /// Opens what stands at a path: a Hugging Face directory, a weights file, an index of shards, an NF4 container, or a
    /// directory that PEFT's `save_pretrained` wrote.
    ///
    /// - Throws: ``Checkpoints/CheckpointError`` or ``Tensors/FileError`` saying what is there instead.
    public init(path: FilePath) throws {
        self.path = path
        let adapterConfiguration = path.appending(AdapterFiles.configuration)
        if let adapterWeights = AdapterFiles.weights(in: path), FileSystem.kind(of: adapterConfiguration) == .file {
            kind = .adapter
            reader = try AdapterFiles.openWeights(adapterWeights)
            configuration = try ModelConfig(path: adapterConfiguration).json
            container = nil
            files = reader.files + [adapterConfiguration]
        } else {
            let directory = try ModelDirectory(path: path)
            kind = .model
            reader = directory.reader
            configuration = directory.config?.json
            container = directory.container
            files = reader.files + directory.sideFilePaths
        }
    }

    /// Opens both sides of a comparison at once, on two threads.
    ///
    /// - Throws: As ``init(path:)``; of two errors the first side's.
    public static func opening(
        _ first: FilePath, _ second: FilePath
    ) throws -> (a: ComparedModel, b: ComparedModel) {
        let models = mapOnThreads(2, threads: 2) { side in
            Result { try ComparedModel(path: side == 0 ? first : second) }
        }
        return (try models[0].get(), try models[1].get())
    }

    /// The name of the file that ``configuration`` was read from.
    public var configurationName: String { kind == .adapter ? AdapterFiles.configuration : ModelFiles.config }
}
