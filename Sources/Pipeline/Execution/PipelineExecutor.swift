import Checkpoints
import Reports
import Synchronization
import SystemPackage
import Tensors
import Workers

/// Runs plans: streams every tensor of their common input through the operations of each and into the outputs.
public struct PipelineExecutor: Sendable {
    private let pass: PassPlan
    private let options: PipelineOptions
    private let isCancelled: @Sendable () -> Bool
    private let announce: (@Sendable (Int) throws -> Void)?
    private let progress: @Sendable (Progress) -> Void
    private var wantsFigures = true

    /// Threads that start and complete outputs. They wait for the disk while files are synced: several wait together.
    package static let syncThreads = 8

    /// How far a conversion is.
    public struct Progress: Sendable {
        /// Bytes of input tensor data converted so far.
        public let done: Int
        /// Bytes of input tensor data in all.
        public let total: Int
    }

    /// - Parameters:
    ///   - isCancelled: Asked all the time; when it turns true, all that is not in place yet is undone, and its result is
    ///     ``Interrupted``.
    ///   - announce: Called with the index of each plan, from any thread, while it runs; it ends before an output is put in
    ///     place. What it throws is the plan's result.
    ///   - progress: Called after every chunk, from any thread.
    public init(
        pass: PassPlan, options: PipelineOptions, isCancelled: @escaping @Sendable () -> Bool = { false },
        announce: (@Sendable (_ plan: Int) throws -> Void)? = nil,
        progress: @escaping @Sendable (Progress) -> Void = { _ in }
    ) {
        self.pass = pass
        self.options = options
        self.isCancelled = isCancelled
        self.announce = announce
        self.progress = progress
    }

    /// An executor of one plan.
    ///
    /// - Parameter wantsFigures: Whether the report is of interest. If not, and if no report or gate of the spec wants them, error
    ///   figures of 4-bit outputs are not made, which saves time. The bytes written and what is refused are the same.
    public init(
        plan: PipelinePlan, options: PipelineOptions, wantsFigures: Bool = true,
        isCancelled: @escaping @Sendable () -> Bool = { false },
        progress: @escaping @Sendable (Progress) -> Void = { _ in }
    ) {
        self.init(pass: PassPlan(plan), options: options, isCancelled: isCancelled, progress: progress)
        self.wantsFigures = wantsFigures || plan.needsFigures
    }

    /// Runs the first plan of the pass, which is the only one: converts, puts the outputs in place unless a gate of the spec
    /// fails, writes the spec's reports, and answers what happened to every tensor.
    ///
    /// - Throws: The error of the first thing that went wrong; then no output has been put in place and nothing is left
    ///   behind. Only when one of several outputs, all of them complete, cannot be renamed, those before it stand.
    public func run() throws -> ConversionReport {
        let first = Mutex<Result<ConversionReport, any Error>>(.failure(Interrupted()))
        runAll { branch, result in
            if branch == 0 { first.withLock { $0 = result } }
        }
        return try first.withLock { $0 }.get()
    }

    /// Runs all plans in one pass over their input. Each gives the bytes and the report that it would give alone, and what
    /// goes wrong for one does not concern the others.
    ///
    /// - Parameter onResult: Told what became of each plan, by index, as soon as that is certain: its outputs are then in
    ///   place, or gone. Called from any thread.
    public func runAll(_ onResult: @escaping @Sendable (Int, Result<ConversionReport, any Error>) -> Void) {
        let start = ContinuousClock.now
        let outcomes = BranchOutcomes(tensorCounts: pass.plans.map(\.model.tensors.count), onResult)
        let branches = open(outcomes)
        let work = stream(branches, outcomes)
        let waiting = branches.filter { !outcomes.isSettled($0.key) }.sorted { $0.key < $1.key }
        forEachOnThreads(waiting.count, threads: PipelineExecutor.syncThreads) { [isCancelled, pass] position in
            let (index, branch) = waiting[position]
            do {
                let report = try branch.complete(
                    outcomes.figures(of: index),
                    run: {
                        RunFacts(
                            seconds: (ContinuousClock.now - start) / .seconds(1), peakMemoryBytes: peakMemory,
                            threads: pass.resources.threads, shares: work.shares)
                    }, isCancelled: isCancelled)
                outcomes.settle(index, .success(report))
            } catch {
                branch.abandon()
                outcomes.settle(index, .failure(error))
            }
        }
    }

    /// Streams the tensors of a pass of one plan into a writer of a part of its only output, and puts that in place.
    ///
    /// - Returns: The figures of the tensors, by index in the plan.
    /// - Throws: The error of the first thing that went wrong.
    func convert(into writer: any CheckpointWriter) throws -> [Int: TensorFigures] {
        let failure = Mutex<(any Error)?>(nil)
        let outcomes = BranchOutcomes(tensorCounts: pass.plans.map(\.model.tensors.count)) { _, result in
            if case .failure(let error) = result { failure.withLock { $0 = error } }
        }
        _ = stream([0: Branch(plan: pass.plans[0], inputs: [], writers: [writer])], outcomes)
        if let error = failure.withLock({ $0 }) { throw error }
        guard !isCancelled() else { throw Interrupted() }
        try writer.commit()
        return outcomes.figuresByTensor(of: 0)
    }

    /// Makes the branches of all plans, by index, but of those whose outputs cannot be started.
    private func open(_ outcomes: BranchOutcomes) -> [Int: Branch] {
        let known = KnownFingerprints()
        let forms = pass.plans[0].forms
        let branches = mapOnThreads(pass.plans.count, threads: PipelineExecutor.syncThreads) {
            [pass, options, isCancelled, announce] index -> Branch? in
            var announcement: BackgroundTask<Void>?
            var writers: [any CheckpointWriter] = []
            do {
                guard !isCancelled() else { throw Interrupted() }
                let plan = pass.plans[index]
                announcement = announce.map { announce in BackgroundTask { try announce(index) } }
                let inputs = BackgroundTask {
                    try known.fingerprints(of: plan, wholeFiles: options.hashFiles)
                }
                writers = try plan.makeWriters(
                    inputs: inputs.finish, sharing: forms,
                    holding: pass.resources.waitingMemory / pass.plans.count)
                return Branch(
                    plan: plan, inputs: try inputs.finish(), writers: writers, announcement: announcement)
            } catch {
                for writer in writers { writer.abandon() }
                announcement?.waitForEnd()
                outcomes.settle(index, .failure(error))
                return nil
            }
        }
        return Dictionary(
            uniqueKeysWithValues: branches.enumerated().compactMap { index, branch in branch.map { (index, $0) } })
    }

    /// Streams all tensors; answers what the workers spent their time on.
    private func stream(_ branches: [Int: Branch], _ outcomes: BranchOutcomes) -> WorkTotals {
        guard let reader = branches.first?.value.plan.model.input.reader else { return WorkTotals() }
        let totals = Mutex(WorkTotals())
        let scheduler = Scheduler(
            programs: pass.programs, branches: Set(branches.keys), openLimit: pass.resources.openTensors,
            heldCapacity: pass.resources.heldCapacity, isCancelled: isCancelled,
            events: Scheduler.Events(
                finished: { member, run in
                    try branches[member.branch]?.setOffsets(from: run, ofTensor: member.tensor)
                    outcomes.note(TensorFigures(run), of: member)
                },
                dropped: { branch, error in
                    branches[branch]?.abandon()
                    outcomes.settle(branch, .failure(error))
                }))
        runOnThreads(pass.resources.threads) { [pass, progress, wantsFigures] _ in
            let worker = TensorWorker(
                reader: reader, branches: branches, programs: pass.programs,
                chunkCapacity: pass.resources.chunkCapacity, copyCapacity: pass.resources.copyCapacity,
                wantsFigures: wantsFigures)
            worker.run(scheduler) { done in
                progress(Progress(done: done, total: pass.resources.bytesRead))
            }
            let work = worker.totals
            totals.withLock { $0.add(work) }
        }
        for (index, branch) in branches {
            guard let error = scheduler.failure(of: index) else { continue }
            branch.abandon()
            outcomes.settle(index, .failure(error))
        }
        return totals.withLock { $0 }
    }
}
