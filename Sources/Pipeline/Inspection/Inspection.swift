import Adapters
import Checkpoints
import LosslessJSON
import Reports
import SystemPackage
import Tensors

/// What a model file or directory, a container or an adapter holds, told from headers alone.
public struct Inspection: Sendable {
    public let path: FilePath
    /// `safetensors`, `bitsandbytes`, `nf4` or `adapter`.
    public let kind: String
    public let tensors: [LogicalTensor]
    public let metadata: [String: String]
    public let sideFiles: [String]
    public let adapters: [AdapterFacts]
    /// The bytes of the files.
    public let fileBytes: Int
    /// Where a container's contents come from.
    public let provenance: JSONValue?
    /// A container's own account of its size.
    public let containerSizes: NF4ContainerSizes?

    /// An adapter: its modules and what they are multiplied with, and what it replaces.
    public struct AdapterFacts: Sendable {
        public let name: String
        public let weight: Double
        public let modules: [LoRAModule]
        public let changes: [AdapterChange]

        init(name: String, weight: Double, _ adapter: LoRAAdapter) {
            self.name = name
            self.weight = weight
            modules = adapter.modules
            changes = adapter.changes
        }
    }

    /// Opens whatever stands at a path.
    ///
    /// - Throws: ``CheckpointError``, ``AdapterError`` or ``FileError`` when it is nothing we can read.
    public init(path: FilePath) throws {
        self.path = path
        if let adapter = try Inspection.openAdapter(path) {
            kind = "adapter"
            tensors = adapter.weights.tensors
            metadata = adapter.weights.metadata
            sideFiles = []
            adapters = [AdapterFacts(name: path.string, weight: 1, adapter)]
            fileBytes = try Inspection.size(of: adapter.weights.files)
            provenance = nil
            containerSizes = nil
            return
        }
        let model = try ModelDirectory(path: path)
        let isQuantized = model.reader.tensors.contains { $0.encoding.blockQuantization != nil }
        kind = model.container != nil ? "nf4" : isQuantized ? "bitsandbytes" : "safetensors"
        tensors = model.reader.tensors
        metadata = model.reader.metadata
        sideFiles = model.sideFileNames
        adapters =
            try model.container.map { container in
                try container.adapters.enumerated().map { index, stored in
                    try AdapterFacts(
                        name: stored.name, weight: stored.weight, LoRAAdapter(inside: container, adapter: index))
                }
            } ?? []
        fileBytes = try Inspection.size(of: model.reader.files)
        provenance = try model.container?.provenance()
        containerSizes = model.container?.sizes
    }

    /// The adapter at a path; `nil` when it is no adapter's directory.
    private static func openAdapter(_ path: FilePath) throws -> LoRAAdapter? {
        guard FileSystem.kind(of: path.appending("adapter_config.json")) != nil else { return nil }
        return try LoRAAdapter(directory: path)
    }

    private static func size(of files: [FilePath]) throws -> Int {
        try files.reduce(0) { $0 + (try InputFile(path: $1)).size }
    }

    /// Bytes of a tensor's data before any compression.
    static func dataBytes(_ tensor: LogicalTensor) -> Int { tensor.parts.reduce(0) { $0 + $1.byteCount } }
}
