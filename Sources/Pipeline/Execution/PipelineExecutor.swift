import Checkpoints
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

    /// Converts, puts the outputs in place and answers what happened to every tensor.
    ///
    /// - Throws: The error of the first thing that went wrong; then no output has been put in place and nothing is left
    ///   behind.
    public func run() throws -> ConversionReport {
        let clock = ContinuousClock()
        let start = clock.now
        let inputs = try fingerprints()
        let writers = WriterSet()
        do {
            for output in plan.model.outputs { try writers.add(makeWriter(for: output)) }
            let (figures, work) = try convert(writers.all)
            try writers.commit(isCancelled: isCancelled)
            let seconds = (clock.now - start) / .seconds(1)
            return ReportBuilder(
                plan: plan, figures: figures, inputs: inputs, seconds: seconds, shares: work.shares
            ).report()
        } catch {
            writers.abandon()
            throw error
        }
    }

    private func makeWriter(for output: PlannedOutput) throws -> any CheckpointWriter {
        try SafetensorsCheckpointWriter(
            destination: output.spec.path, tensors: output.tensors, metadata: plan.model.input.reader.metadata,
            maximumShardSize: output.spec.maximumShardSize,
            sideFiles: output.spec.isSingleFile
                ? [] : plan.model.input.sideFiles(config: plan.configuration(of: output)),
            force: options.force)
    }

    private func fingerprints() throws -> [InputFingerprint] {
        let files = plan.model.input.reader.files + plan.model.adapters.flatMap(\.adapter.files)
        return try files.filter { $0.extension == "safetensors" }.map {
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
