import Adapters
import LosslessJSON
import Reports
import Tensors

/// Everything that is different between two models, a and b.
///
/// Everything but ``run`` is a function of the models and the options.
public struct ModelDifference: Sendable {
    public let a: ModelSide
    public let b: ModelSide
    /// The adapter whose update was looked for; `nil` without one.
    public let adapter: AdapterReport?
    public let options: ComparisonOptions
    /// The tensors of a in its order, then those that only b has.
    public let tensors: [TensorDifference]
    /// How |b − a| is distributed over all elements that were compared.
    public let distribution: MagnitudeDistribution?
    /// Changes of `config.json`, or of `adapter_config.json`.
    public let configurationChanges: [ConfigurationChange]
    /// Changes of the files' string metadata (safetensors' `__metadata__`).
    public let metadataChanges: [ConfigurationChange]
    /// The adapters that travel in containers, those of a first.
    public let containedAdapters: [ContainedAdapterDifference]
    public let summary: DifferenceSummary
    /// Worker threads that ran.
    public let threads: Int
    /// The facts of the run that are not the comparer's to know.
    public var run: RunFacts?
    /// The version of the tool that compared, and what identifies the files, where they have been looked at.
    public var toolVersion = ""
    public var inputs: [InputFingerprint] = []
    public var gates: [GateResult] = []

    init(
        a: ComparedModel, b: ComparedModel, adapter: LoRAAdapter?, options: ComparisonOptions,
        tensors: [TensorDifference], distribution: MagnitudeDistribution?,
        containedAdapters: [ContainedAdapterDifference], threads: Int
    ) {
        self.a = ModelSide(a)
        self.b = ModelSide(b)
        self.adapter = adapter.map {
            AdapterReport(path: $0.directory.string, weight: 1, modulesMatched: $0.modules.count)
        }
        self.options = options
        self.tensors = tensors
        self.distribution = distribution
        self.containedAdapters = containedAdapters
        self.threads = threads
        configurationChanges = ConfigurationChange.list(a.configuration, b.configuration, of: a.kind)
        metadataChanges = ConfigurationChange.list(metadata: a.reader.metadata, b.reader.metadata)
        summary = DifferenceSummary(tensors)
    }

    /// Whether a user should treat the models as the same: the same tensors with the same values (or values within the
    /// tolerance), however they are stored, configurations that say the same about the model, and the same unmerged adapters.
    public var isEqual: Bool {
        summary.unequal == 0 && !configurationChanges.contains { !$0.isAboutStorage }
            && containedAdapters.allSatisfy { $0.outcome == .identical }
    }
}

/// One of the two models of a comparison.
public struct ModelSide: Hashable, Sendable {
    public let path: String
    public let kind: ComparedModel.Kind
    public let tensors: Int
    public let elements: Int
    /// Bytes of tensor data.
    public let bytes: Int
    /// The adapters that travel in a container beside the weights.
    public let containedAdapters: [String]
    /// Elements stored in each encoding, most first.
    public let encodings: [Share]

    public struct Share: Hashable, Sendable {
        public let label: String
        public let elements: Int
    }

    init(_ model: ComparedModel) {
        path = model.path.string
        kind = model.kind
        containedAdapters = model.container?.adapters.map(\.name) ?? []
        tensors = model.reader.tensors.count
        var bytes = 0
        var counts: [String: Int] = [:]
        for tensor in model.reader.tensors {
            bytes += tensor.parts.reduce(0) { $0 + $1.byteCount }
            counts[tensor.encoding.label, default: 0] += tensor.elementCount
        }
        self.bytes = bytes
        elements = counts.values.reduce(0, +)
        encodings = counts.map { Share(label: $0.key, elements: $0.value) }
            .sorted { ($1.elements, $0.label) < ($0.elements, $1.label) }
    }
}
