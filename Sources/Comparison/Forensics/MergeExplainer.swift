import Adapters
import Reports
import Tensors
import Workers

/// Tells what a merge by any tool did to every tensor: which scaling was applied to which update.
///
/// Both models stream by in chunks that all cores share, in bounded memory, and a second time where another update has to be
/// tried. The answer is the same for any number of threads, bit for bit.
public struct MergeExplainer: Sendable {
    private let plan: ComparisonPlan
    private let options: ComparisonOptions

    /// Pairs the tensors up; reads no data.
    ///
    /// - Parameter options: ``ComparisonOptions/adapter`` is the adapter that was merged.
    /// - Throws: ``ComparisonError`` when an option has no effect or the two cannot be compared;
    ///   ``Adapters/AdapterError`` when the adapter does not fit the base.
    public init(base: ComparedModel, merged: ComparedModel, options: ComparisonOptions) throws {
        plan = try ComparisonPlan(a: base, b: merged, options: options)
        self.options = options
    }

    /// Bytes that will be read at least.
    public var bytesToRead: Int { plan.bytesToRead }

    /// Looks at every tensor.
    ///
    /// - Parameters:
    ///   - isCancelled: Asked all the time; when it turns true ``Workers/Interrupted`` is thrown.
    ///   - progress: Told how many bytes have been read, from any thread.
    /// - Throws: The first thing that went wrong with a file.
    public func run(
        isCancelled: @escaping @Sendable () -> Bool = { false },
        progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) throws -> MergeExplanation {
        let supervisor = Supervisor(isCancelled: isCancelled, onProgress: progress)
        let capacity = plan.largestChunk(of: FitWorker.chunkElements)
        let threads = try plan.affordableThreads(
            options, capacity: capacity, bytesPerElement: FitWorker.bytesPerElement)
        func fits(_ items: [FitWorker.Item], _ chunks: [Chunks]) throws -> [FitSums] {
            let pass = ChunkedPass<FitSums>(chunks)
            let plan = plan
            runOnThreads(threads) { _ in
                pass.work(supervisor, FitWorker(plan: plan, items: items, capacity: capacity))
            }
            try supervisor.checkFailure()
            return pass.results
        }

        let bytes = ByteComparison(plan: plan)
        runOnThreads(threads) { _ in bytes.work(supervisor) }
        try supervisor.checkFailure()

        let identical = bytes.identicalPairs
        let rest = plan.pairs.indices.filter { plan.pairs[$0].isFitted && !identical.contains($0) }
        let items = rest.map { index in
            let pair = plan.pairs[index]
            return FitWorker.Item(
                pair: pair, updates: pair.changes.map { .asConfigured($0) }, predictsRounding: true)
        }
        let sums = try fits(items, rest.map { plan.pairs[$0].chunks(of: FitWorker.chunkElements) })
        let builder = ExplanationBuilder(
            plan: plan, identical: identical, sums: Dictionary(uniqueKeysWithValues: zip(rest, sums)))
        let drafts = builder.drafts()
        let open = drafts.filter { if case .search = $0.judgement { true } else { false } }.map(\.pair)
        let found = try UpdateSearch(plan: plan, pairs: open, run: fits).findings()
        return MergeExplanation(
            plan: plan, options: options, tensors: builder.explanations(drafts, found: found), threads: threads)
    }
}

extension TensorPair {
    /// Whether the values of both sides can be decoded to float32.
    fileprivate var isFitted: Bool {
        guard let (a, b) = comparable else { return false }
        return [a, b].allSatisfy { $0.tensor.encoding.isReal }
    }
}
