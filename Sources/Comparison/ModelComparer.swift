import Adapters
import Reports
import Tensors
import Workers

/// Compares two models tensor by tensor.
///
/// Both stream by once, in chunks that all cores share; memory is bounded by a budget. The answer is the same for any number
/// of threads, bit for bit.
public struct ModelComparer: Sendable {
    private let plan: ComparisonPlan
    private let options: ComparisonOptions

    /// Pairs the tensors up; reads no data.
    ///
    /// - Throws: ``ComparisonError`` when an option has no effect or the two cannot be compared;
    ///   ``Adapters/AdapterError`` when the adapter does not fit a.
    public init(_ a: ComparedModel, _ b: ComparedModel, options: ComparisonOptions = ComparisonOptions()) throws {
        plan = try ComparisonPlan(a: a, b: b, options: options)
        self.options = options
    }

    /// Bytes that will be read once: the tensors that both have.
    public var bytesToRead: Int { plan.bytesToRead }

    /// Compares.
    ///
    /// - Parameters:
    ///   - isCancelled: Asked all the time; when it turns true ``Workers/Interrupted`` is thrown.
    ///   - progress: Told how many bytes have been read, from any thread.
    /// - Throws: The first thing that went wrong with a file.
    public func run(
        isCancelled: @escaping @Sendable () -> Bool = { false },
        progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) throws -> ModelDifference {
        let supervisor = Supervisor(isCancelled: isCancelled, onProgress: progress)
        let inFloat64 = plan.pairs.contains { $0.comparable != nil && $0.arithmetic == .float64 }
        let capacity = plan.largestChunk(of: PairWorker.chunkElements)
        let threads = try plan.affordableThreads(
            options, capacity: capacity,
            bytesPerElement: inFloat64 ? PairWorker.bytesPerElementInFloat64 : PairWorker.bytesPerElement)

        let bytes = ByteComparison(plan: plan)
        runOnThreads(threads) { _ in bytes.work(supervisor) }
        try supervisor.checkFailure()

        let identical = bytes.identicalPairs
        let rest = plan.pairs.indices.filter { plan.pairs[$0].comparable != nil && !identical.contains($0) }
        let values = ValueComparison(plan: plan, candidates: rest)
        runOnThreads(threads) { _ in values.work(supervisor, capacity: capacity) }
        try supervisor.checkFailure()
        return try DifferenceBuilder(
            plan: plan, options: options, identical: identical, findings: values.results,
            containedAdapters: ContainedAdapterDifference.list(plan.a.container, plan.b.container), threads: threads
        ).difference()
    }
}
