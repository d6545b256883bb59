import Checkpoints
import LosslessJSON
import Reports
import SystemPackage
import Tensors
import Workers

/// A spec that has been checked against its input: everything that will be done, from headers alone.
public struct PipelinePlan: Sendable {
    public let spec: PipelineSpec
    public let model: PlannedModel
    public let resources: ResourcePlan
    /// What happens to each tensor, as in a pass of this plan alone.
    let ownPrograms: [SharedProgram]
    /// Whether existing outputs are replaced.
    let replacesOutputs: Bool
    /// Of the outputs of all plans that run in one pass with this one as the first.
    let forms: OutputForms
    /// Makes the forms of this plan's outputs, if that has begun.
    private let making: BackgroundTask<Void>?

    /// Plans a conversion. Nothing is written.
    ///
    /// - Parameter isToRun: Whether it is run next: where everything lies in its outputs is then worked out on the way.
    /// - Throws: ``PlanError`` and the errors of the formats when the conversion cannot work.
    public init(spec: PipelineSpec, options: PipelineOptions, isToRun: Bool = false) throws {
        let plan = try PipelinePlan(opening: spec, options: options, isToRun: isToRun)
        try plan.checkDestinations()
        try ResourcePlan.checkDiskSpace([plan])
        self = plan
    }

    /// Opens the spec's input, and beside it what steps need, and plans a conversion without a look at what stands where its outputs
    /// go.
    init(opening spec: PipelineSpec, options: PipelineOptions, isToRun: Bool = false) throws {
        for step in spec.steps { step.begin() }
        try self.init(spec: spec, input: PipelinePlan.openInput(of: spec), options: options, isToRun: isToRun)
    }

    static func openInput(of spec: PipelineSpec) throws -> ModelDirectory {
        try PlacedError.adding("input") { try ModelDirectory(path: spec.input) }
    }

    /// Plans a conversion without a look at what stands where its outputs go.
    ///
    /// - Parameter input: The spec's input.
    init(spec: PipelineSpec, input: ModelDirectory, options: PipelineOptions, isToRun: Bool = false) throws {
        var model = try PlacedError.adding("input") { try PlannedModel(input: input) }
        for (index, stage) in spec.steps.enumerated() {
            let place = StageRegistry.place(index + 1, type(of: stage).op)
            if type(of: stage).needsWeights { try PipelinePlan.requireWeights(of: input, place: place) }
            try PlacedError.adding(place) { try stage.plan(&model, place: place) }
        }
        if let output = spec.output { try model.addOutput(output, place: "output") }
        try model.checkPendingChanges(spec: spec)
        try model.checkGates(spec.report.gates)
        forms = OutputForms()
        making = isToRun ? forms.begin(model) : nil

        let targetChunk = ResourcePlan.targetChunkElements(options)
        let programs = model.tensors.map { [model] in
            TensorProgram(
                source: $0.source, input: model.sourceTensor(of: $0), operations: $0.operations,
                targetChunkElements: targetChunk)
        }
        self.spec = spec
        self.model = model
        ownPrograms = SharedProgram.programs(of: [programs])
        replacesOutputs = options.force
        resources = try ResourcePlan(models: [model], programs: ownPrograms, options: options)
    }

    /// What happens to each tensor, by index.
    var programs: [TensorProgram] {
        ownPrograms.flatMap(\.members).sorted { $0.tensor < $1.tensor }.map(\.program)
    }

    /// Whether something in the spec looks at error figures.
    var needsFigures: Bool { !spec.report.gates.isEmpty || !spec.report.paths.isEmpty }

    /// Refuses to work on weights that we cannot decode.
    private static func requireWeights(of input: ModelDirectory, place: String) throws(PlanError) {
        guard let foreign = input.foreignQuantization else { return }
        throw PlanError(
            place: place, problem: "\(input.path) is quantized with \(foreign.method) (\(foreign.evidence))",
            remedy: "qconv decodes bitsandbytes' 4-bit weights only: start from the model before it was quantized")
    }

    /// Refuses destinations that would destroy something, or each other.
    func checkDestinations() throws {
        var others = spec.sources + model.input.looseFiles.map { UsedPath($0, as: .input) }
        for (used, place) in spec.destinations {
            try PlacedError.adding(place) {
                try OutputDestination(used.path, as: used.role).check(force: replacesOutputs, besides: others)
            }
            others.append(used)
        }
    }
}

/// How a pipeline is run; nothing here changes what it writes.
public struct PipelineOptions: Sendable {
    /// Replace existing outputs.
    public var force = false
    /// Worker threads; `nil`: one a core.
    public var threads: Int?
    /// The most memory for data in flight, in bytes.
    public var memory = 256 << 20
    /// Add the SHA-256 of whole input files to their fingerprints.
    public var hashFiles = false

    public init() {}
}

extension PlannedModel {
    /// Refuses to drop an attached change silently.
    func checkPendingChanges(spec: PipelineSpec) throws(PlanError) {
        guard spec.output == nil, let waiting = tensors.first(where: { !$0.pendingChanges.isEmpty }) else { return }
        throw PlanError(
            place: "spec",
            problem: "the change of \"\(waiting.tensor.name)\" is attached but never merged and written",
            remedy: "add a merge and an \"output\"")
    }

    /// Refuses gates on an update where none is merged: they would have nothing to look at.
    func checkGates(_ gates: [Gate]) throws(PlanError) {
        guard let gate = gates.first(where: { ConversionReport.updateFigures.contains($0.figure) }),
            !tensors.contains(where: { $0.operations.contains { !$0.changes.isEmpty } })
        else { return }
        throw PlanError(
            place: "report", problem: "the gate \"\(gate.text)\" looks at an update, and no adapter is merged",
            remedy: "merge one with \"attach-adapter\" and a merge step, or drop the gate")
    }
}
