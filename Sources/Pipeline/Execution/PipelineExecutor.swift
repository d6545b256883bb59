import Checkpoints
import LosslessJSON
import Quantization
import Reports
import Synchronization
import SystemPackage
import Tensors
import Workers

/// Runs a plan: streams every tensor through its operations and into the outputs.
public struct PipelineExecutor: Sendable {
    private let plan: PipelinePlan
    private let options: PipelineOptions
    private let isCancelled: @Sendable () -> Bool
    private let progress: @Sendable (Progress) -> Void

    /// How far a conversion is.
    public struct Progress: Sendable {
        /// Bytes of input tensor data converted so far.
        public let done: Int
        /// Bytes of input tensor data in all.
        public let total: Int
    }

    /// - Parameters:
    ///   - isCancelled: Asked all the time; when it turns true, everything is undone and ``Interrupted`` is thrown.
    ///   - progress: Called after every chunk, from any thread.
    public init(
        plan: PipelinePlan, options: PipelineOptions, isCancelled: @escaping @Sendable () -> Bool = { false },
        progress: @escaping @Sendable (Progress) -> Void = { _ in }
    ) {
        self.plan = plan
        self.options = options
        self.isCancelled = isCancelled
        self.progress = progress
    }

    /// Converts, puts the outputs in place unless a gate of the spec fails, and answers what happened to every tensor.
    ///
    /// - Throws: The error of the first thing that went wrong; then no output has been put in place and nothing is left
    ///   behind.
    public func run() throws -> ConversionReport {
        let clock = ContinuousClock()
        let start = clock.now
        let inputs = try fingerprints()
        let writers = WriterSet()
        do {
            for output in plan.model.outputs { try writers.add(makeWriter(for: output, inputs: inputs)) }
            let (figures, work) = try convert(writers.all)
            var report = ReportBuilder(plan: plan, figures: figures, inputs: inputs).report()
            report.gates = plan.spec.report.gates.map(report.result)
            report.isDiscarded =
                plan.spec.report.onFailure == .discard && report.gates.contains { !$0.hasPassed }
            if report.isDiscarded { writers.abandon() } else { try writers.commit(isCancelled: isCancelled) }
            report.run = RunFacts(
                seconds: (clock.now - start) / .seconds(1), peakMemoryBytes: peakMemory,
                threads: plan.resources.threads, shares: work.shares)
            return report
        } catch {
            writers.abandon()
            throw error
        }
    }

    private func makeWriter(for output: PlannedOutput, inputs: [InputFingerprint]) throws -> any CheckpointWriter {
        let reader = plan.model.input.reader
        let sideFiles = try plan.model.input.sideFiles(config: plan.configuration(of: output))
        if output.format == .patch {
            return try PatchWriter(
                destination: output.spec.path, base: plan.model.input, tensors: output.tensors,
                metadata: reader.metadata, maximumShardSize: output.spec.maximumShardSize, sideFiles: sideFiles,
                force: options.force)
        }
        guard output.format == .nf4 else {
            return try SafetensorsCheckpointWriter(
                destination: output.spec.path, tensors: output.tensors, metadata: reader.metadata,
                maximumShardSize: output.spec.maximumShardSize, sideFiles: output.spec.isSingleFile ? [] : sideFiles,
                force: options.force)
        }
        let adapters = output.adapters.map { plan.model.adapters[$0] }
        let writer = try NF4ContainerWriter(
            destination: output.spec.path, tensors: output.tensors, metadata: reader.metadata, sideFiles: sideFiles,
            adapters: adapters.map { $0.adapter.containerForm(name: $0.pathInSpec, weight: $0.weight) },
            compression: output.spec.compression ?? .zlib, force: options.force)
        do {
            writer.setProvenance(provenance(inputs))
            for (index, attached) in adapters.enumerated() {
                try attached.adapter.forEachTensor { tensor, bytes in
                    try writer.writeAdapter(bytes, adapter: index, tensor: tensor, at: 0)
                }
            }
        } catch {
            writer.abandon()
            throw error
        }
        return writer
    }

    /// Where a container's contents come from.
    private func provenance(_ inputs: [InputFingerprint]) -> JSONValue {
        [
            "qconv_version": .string(qconvVersion),
            "inputs": .array(
                inputs.map { input in
                    var entry: JSONValue = [
                        "path": .string(input.path), "size": .int(input.size),
                        "header_sha256": .string(input.headerSHA256),
                    ]
                    if let hash = input.sha256 { entry["sha256"] = .string(hash) }
                    return entry
                }),
            "spec": plan.spec.normalized,
        ]
    }

    private func fingerprints() throws -> [InputFingerprint] {
        let files = plan.model.input.reader.files + plan.model.adapters.flatMap(\.adapter.files)
        return try files.filter { $0.extension != "json" }.map {
            try Fingerprint.make($0, wholeFile: options.hashFiles)
        }
    }

    /// Streams all tensors; answers the figures of each, and what the workers spent their time on.
    private func convert(_ writers: [any CheckpointWriter]) throws -> ([TensorFigures], WorkTotals) {
        let programs = plan.programs
        let collected = Mutex([TensorFigures?](repeating: nil, count: programs.count))
        let totals = Mutex(WorkTotals())
        let outputs = plan.model.outputs
        let scheduler = Scheduler(
            programs: programs, openLimit: plan.resources.openTensors, isCancelled: isCancelled
        ) { tensor, run in
            for (output, writer) in zip(outputs, writers) {
                guard let producer = output.offsetProducers[tensor], let offset = run.facts[producer].scaleOffset
                else { continue }
                try writer.setDoubleQuantizationOffset(offset, ofTensor: tensor)
            }
            let figures = TensorFigures(run)
            collected.withLock { $0[tensor] = figures }
        }
        let worker: @Sendable (Int) -> Void = { [plan, progress] _ in
            let worker = TensorWorker(
                model: plan.model, programs: programs, writers: writers, chunkCapacity: plan.resources.chunkCapacity,
                copyCapacity: plan.resources.copyCapacity)
            worker.run(scheduler) { done in
                progress(Progress(done: done, total: plan.resources.bytesRead))
            }
            let work = worker.totals
            totals.withLock { $0.add(work) }
        }
        runOnThreads(plan.resources.threads, worker)
        try scheduler.checkFailure()
        return (collected.withLock { $0.compactMap { $0 } }, totals.withLock { $0 })
    }
}

/// What happened to one tensor: its figures in every output, and the rounding its codes were made with.
struct TensorFigures: Sendable {
    let emitted: [Int: EmittedFigures]
    /// For each operation the rounding it used, if it made codes.
    let roundings: [RoundingRule?]

    init(_ run: TensorRun) {
        emitted = run.emitted
        roundings = zip(run.program.operations, run.facts).map { $0.roundingUsed($1) }
    }
}

/// The writers of a conversion, which stand or fall together.
private final class WriterSet {
    private(set) var all: [any CheckpointWriter] = []

    func add(_ writer: any CheckpointWriter) {
        all.append(writer)
    }

    func commit(isCancelled: () -> Bool) throws {
        guard !isCancelled() else { throw Interrupted() }
        for writer in all { try writer.commit() }
    }

    func abandon() {
        for writer in all { writer.abandon() }
    }
}
