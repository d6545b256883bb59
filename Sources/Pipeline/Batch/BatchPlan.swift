import Checkpoints
import SystemPackage
import Tensors
import Workers

/// A batch that has been checked against its input and all adapters: what will be converted, from headers alone, and in how
/// many passes over the input.
public struct BatchPlan: Sendable {
    /// One adapter's part in the batch.
    public struct Item: Sendable {
        public enum State: Sendable {
            /// Will be converted.
            case ready(PipelinePlan)
            /// Was converted by an earlier run, from the same inputs by the same spec.
            case finished(BatchRecord)
            /// Cannot be converted.
            case unusable(any Error)
        }

        public let adapter: BatchAdapter
        public let state: State
        /// What an earlier run has left about it, and this one will.
        let recordFile: BatchRecordFile?

        /// The plan, if it is to be converted.
        public var plan: PipelinePlan? {
            if case .ready(let plan) = state { plan } else { nil }
        }
    }

    public let spec: BatchSpec
    /// The input, as the spec names it.
    public let input: String
    public let items: [Item]
    /// The passes over the input: items that are converted together, as many as the memory budget holds.
    public let passes: [[Int]]

    /// Plans a batch. Nothing is written.
    ///
    /// - Parameter part: The share of the adapters that this process has: every count-th. `nil`: all.
    /// - Throws: What is wrong with the batch as a whole: its spec, its input, two adapters that would write to one path,
    ///   disks that cannot hold all outputs. What is wrong with single adapters is in the ``items``.
    public init(spec: BatchSpec, options: PipelineOptions, part: Part? = nil) throws {
        try self.init(spec: spec, options: options, part: part, checksDisk: true)
    }

    /// - Parameter checksDisk: Whether to refuse what does not fit on the disks.
    init(spec: BatchSpec, options: PipelineOptions, part: Part?, checksDisk: Bool) throws {
        // An error in the spec is the same for all.
        let specs = try spec.adapters.map { adapter throws(SpecError) in try spec.spec(for: adapter) }
        try BatchClashes(spec, specs).check()
        guard let first = specs.first else {
            throw SpecError(file: spec.file, place: "batch", problem: "no adapters are given")
        }
        let input = try PipelinePlan.openInput(of: first)
        let base = try RecordedFile.all(of: input, wholeFiles: options.hashFiles)
        let share = specs.indices.filter { part?.takes($0) ?? true }
        items = mapOnThreads(share.count, threads: ResourcePlan.threadsAsked(options)) { position in
            let index = share[position]
            return BatchPlan.item(spec.adapters[index], specs[index], input: input, base: base, options: options)
        }
        self.spec = spec
        self.input = first.normalized["input"]?.string ?? input.path.string
        passes = BatchPlan.passes(items, options: options)
        for path in spec.report.paths {
            try PlacedError.adding("batch") {
                try OutputDestination(path, as: .report).check(force: true, besides: first.sources)
            }
        }
        if checksDisk { try ResourcePlan.checkDiskSpace(items.compactMap(\.plan)) }
    }

    /// What is wrong with adapters, if anything is.
    public var problems: [(adapter: BatchAdapter, error: any Error)] {
        items.compactMap { item in
            if case .unusable(let error) = item.state { (item.adapter, error) } else { nil }
        }
    }

    private static func item(
        _ adapter: BatchAdapter, _ spec: PipelineSpec, input: ModelDirectory, base: [RecordedFile],
        options: PipelineOptions
    ) -> Item {
        do {
            var options = options
            var plan = try PipelinePlan(spec: spec, input: input, options: options)
            let file = try BatchRecordFile(of: plan, base: base)
            if !options.force, let file, let record = file.earlier {
                if record.isCurrent(file.next, plan) {
                    return Item(adapter: adapter, state: .finished(record), recordFile: file)
                }
                // What stands there, if it is what an earlier run of the batch wrote, is out of date.
                options.force = record.covers(plan)
                plan = try PipelinePlan(spec: spec, input: input, options: options)
            }
            try plan.checkDestinations()
            return Item(adapter: adapter, state: .ready(plan), recordFile: file)
        } catch {
            return Item(adapter: adapter, state: .unusable(error), recordFile: nil)
        }
    }

    // MARK: - Passes

    /// Packs adapters into passes, in their order, as many into each as the memory budget holds beside the chunks of all
    /// worker threads. One that alone is too much for that many threads has a pass of its own, with fewer.
    private static func passes(_ items: [Item], options: PipelineOptions) -> [[Int]] {
        var passes: [[Int]] = []
        var load: PassLoad?
        for (index, item) in items.enumerated() {
            guard let plan = item.plan else { continue }
            let own = PassLoad(plan, options)
            if let joint = load?.adding(own), joint.fits(options) {
                passes[passes.count - 1].append(index)
                load = joint
            } else {
                passes.append([index])
                load = own
            }
        }
        return passes
    }
}
