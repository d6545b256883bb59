import Adapters
import Checkpoints
import LosslessJSON
import Quantization
import Reports
import SystemPackage
import Tensors

/// The model as it would stand after the steps planned so far: descriptions only, no data.
///
/// Every stage changes it in turn, so a spec that cannot work fails here, before a byte is written.
public struct PlannedModel: Sendable {
    public let input: ModelDirectory
    public var tensors: [PlannedTensor]
    public var adapters: [AttachedAdapter] = []
    public var outputs: [PlannedOutput] = []
    /// For each layer the input's layer that it is a copy of; `nil` when the layers are the input's own.
    public private(set) var layerSources: [Int]?
    /// What a user should know although the conversion can go on.
    public var warnings: [String] = []

    /// The model as the input has it. Adapters that travel in a container are attached already.
    public init(input: ModelDirectory) throws {
        self.input = input
        tensors = input.reader.tensors.enumerated().map { PlannedTensor(source: .input($0.offset), tensor: $0.element) }
        guard let container = input.container else { return }
        for (index, stored) in container.adapters.enumerated() {
            try attach(
                LoRAAdapter(inside: container, adapter: index), weight: stored.weight, path: stored.name, place: "input"
            )
        }
    }

    /// Gives the model the layers that an adapter was trained on.
    mutating func replicateLayers(_ ranges: [Range<Int>]) throws(LayerReplicationError) {
        guard !ranges.isEmpty else { return }
        let isUnchanged = adapters.isEmpty && outputs.isEmpty && tensors.allSatisfy(\.operations.isEmpty)
        guard isUnchanged else { throw .modelHasChanged }
        let replication = try LayerReplication(ranges)
        tensors = try replication.applied(to: tensors.map(\.tensor.name)).map { [tensors] name, source in
            var tensor = tensors[source].tensor
            tensor.name = name
            return PlannedTensor(source: tensors[source].source, tensor: tensor)
        }
        layerSources = replication.sources
    }

    /// The indices of the tensors that a stage's default or its `include` and `exclude` globs select.
    ///
    /// - Throws: ``PlanError`` when a glob has no effect: it matches no tensor at all, or leaves out none of those that would
    ///   be selected, or all that it selects is left out.
    func select(
        _ filter: NameFilter, place: String, default isDefault: (PlannedTensor) -> Bool
    ) throws(PlanError) -> [Int] {
        for glob in filter.include + filter.exclude
        where !tensors.contains(where: { glob.matches(tensorName: $0.tensor.name) }) {
            throw PlanError(
                place: place, problem: "the pattern \"\(glob.pattern)\" matches no tensor",
                remedy:
                    "patterns are compared to whole names such as \"\(tensors.first?.tensor.name ?? "")\"; * stands for any characters"
            )
        }
        let candidates = tensors.indices.filter { index in
            let name = tensors[index].tensor.name
            return filter.include.isEmpty
                ? isDefault(tensors[index]) : filter.include.contains { $0.matches(tensorName: name) }
        }
        func matches(_ glob: Glob, _ index: Int) -> Bool { glob.matches(tensorName: tensors[index].tensor.name) }
        for glob in filter.exclude where !candidates.contains(where: { matches(glob, $0) }) {
            throw PlanError(
                place: place, problem: "the pattern \"\(glob.pattern)\" of \"exclude\" leaves nothing out",
                remedy:
                    "what it matches would stay as it is anyway: drop it, or correct it or \"include\"")
        }
        let selected = candidates.filter { index in !filter.exclude.contains { matches($0, index) } }
        for glob in filter.include where !selected.contains(where: { matches(glob, $0) }) {
            throw PlanError(
                place: place,
                problem: "all that the pattern \"\(glob.pattern)\" of \"include\" matches is left out by \"exclude\"",
                remedy: "drop one of them")
        }
        return selected
    }
}

/// A tensor on its way through the steps.
public struct PlannedTensor: Sendable {
    /// Where its data comes from.
    public let source: TensorSource
    /// The tensor as it stands after the operations so far.
    public var tensor: LogicalTensor
    /// Whether the input stores it in 4 bits.
    public let wasBlockQuantized: Bool
    /// Changes that adapters have put beside the tensor and that no step has merged yet.
    public var pendingChanges: [PendingChange] = []
    /// Whether this is an output head that was tied to the embedding in the input.
    var isAddedHead = false
    /// What the executor does to each chunk, in order.
    var operations: [any TensorOperation] = []
    /// The operation that makes the offset of the current double-quantized scales; `nil` when it comes from the input.
    var offsetProducer: Int?

    init(source: TensorSource, tensor: LogicalTensor) {
        self.source = source
        self.tensor = tensor
        wasBlockQuantized = tensor.encoding.blockQuantization != nil
    }

    /// Adds an operation and notes the encoding it leads to.
    mutating func append(_ operation: any TensorOperation) {
        if let quantization = operation.result.blockQuantization, quantization.doubleQuantization != nil {
            if operation.preparations.contains(.scaleMean) { offsetProducer = operations.count }
        } else {
            offsetProducer = nil
        }
        tensor.encoding = operation.result
        if let shape = operation.resultShape { tensor.shape = shape }
        operations.append(operation)
    }
}

/// Where a tensor's data comes from.
public enum TensorSource: Hashable, Sendable {
    /// The input's tensor of this index.
    case input(Int)
    /// A tensor of an adapter's file: one that the input does not have.
    case adapter(Int, tensor: Int)
}

extension PlannedModel {
    /// The reader that has a source's data, and the tensor's index there.
    func reader(of source: TensorSource) -> (reader: any CheckpointReader, tensor: Int) {
        switch source {
        case .input(let tensor): (input.reader, tensor)
        case .adapter(let adapter, let tensor): (adapters[adapter].adapter.weights, tensor)
        }
    }

    /// The tensor as its source has it.
    func sourceTensor(of planned: PlannedTensor) -> LogicalTensor {
        let (reader, tensor) = reader(of: planned.source)
        return reader.tensors[tensor]
    }
}

/// A change that stands beside a tensor until a step merges it.
public struct PendingChange: Hashable, Sendable {
    /// Index into ``PlannedModel/adapters``.
    public let adapter: Int
    /// Index into the adapter's changes.
    public let change: Int
    /// What the tensor takes of the change's factors, if it has some.
    public let placement: FactorPlacement?
}

extension PlannedModel {
    /// What a pending change is.
    func kind(of pending: PendingChange) -> AdapterChange.Kind {
        adapters[pending.adapter].adapter.changes[pending.change].kind
    }

    /// Whether a pending change scales the rows of the sum (DoRA).
    func hasMagnitude(_ pending: PendingChange) -> Bool {
        guard case .lowRank(let module) = kind(of: pending) else { return false }
        return adapters[pending.adapter].adapter.modules[module].hasMagnitude
    }

    /// Whether PEFT rounds the update of a pending change to the weight's dtype before it adds it.
    func isRoundedFirst(_ pending: PendingChange) -> Bool {
        guard case .lowRank(let index) = kind(of: pending) else { return false }
        let module = adapters[pending.adapter].adapter.modules[index]
        // The updates of embeddings always.
        return module.kind == .embedding || (pending.placement ?? module.placement).isRoundedFirst
    }
}

/// An adapter that a step has attached.
public struct AttachedAdapter: Sendable {
    public let adapter: LoRAAdapter
    /// What the user multiplies this adapter's low-rank updates with.
    public let weight: Double
    /// The adapter's path as the spec has it.
    public let pathInSpec: String
    /// The tensors that its changes concern.
    public let matches: [AdapterMatch]

    /// What each module's update is: the first of those that its tensors take.
    var placements: [FactorPlacement] {
        var placements = adapter.modules.map(\.placement)
        for match in matches.reversed() {
            guard case .lowRank(let module) = adapter.changes[match.change].kind, let placement = match.placement
            else { continue }
            placements[module] = placement
        }
        return placements
    }
}

/// A model that will be written: after the last step, or by `save` on the way.
public struct PlannedOutput: Sendable {
    public let spec: OutputSpec
    public let format: OutputFormat
    /// The tensors as they are written, in the order of the input.
    public let tensors: [LogicalTensor]
    /// For each tensor the operation that makes the offset of its double-quantized scales, if one does.
    let offsetProducers: [Int?]
    /// The adapters that are attached and not merged, and travel with the model.
    let adapters: [Int]
    /// Where in the spec it is asked for.
    public let place: String
}

/// Why a spec that is well-formed cannot work on its input.
public struct PlanError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Where in the spec: `step 2 (merge-in-4bit)`.
    public let place: String
    public let problem: String
    /// The way out.
    public let remedy: String

    public var description: String { "\(place): \(problem); \(remedy)" }
}

/// An error of a format or a file, with the place in the spec that led to it.
public struct PlacedError: Error, CustomStringConvertible {
    /// Where in the spec: `step 1 (attach-adapter)`.
    public let place: String
    public let underlying: any Error

    public var description: String { "\(place): \(underlying)" }

    /// Runs `body` and adds the place to whatever it throws, unless it knows its place already.
    static func adding<Result>(_ place: String, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as PlanError {
            throw error
        } catch {
            throw PlacedError(place: place, underlying: error)
        }
    }
}

/// The disk has no room for an output.
public struct InsufficientSpaceError: Error, Hashable, Sendable, CustomStringConvertible {
    public let directory: FilePath
    /// Bytes that will be written.
    public let needed: Int
    /// Bytes that are free.
    public let free: Int

    public var description: String {
        "output: \(directory) has \(NumberText.bytes(free)) free, and \(NumberText.bytes(needed)) will be written; free some space, or give another \"path\""
    }
}
