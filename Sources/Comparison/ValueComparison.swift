import Reports
import Synchronization
import Tensors
import Workers

/// Compares the values of the pairs that may differ.
final class ValueComparison: Sendable {
    let plan: ComparisonPlan
    /// The pairs that take part, as indices into the plan's.
    let candidates: [Int]
    private let pass: ChunkedPass<PartialDifference>
    /// How the magnitudes of each candidate are distributed. Histograms count in whole numbers, in any order.
    private let histograms: Mutex<[MagnitudeHistogram]>

    /// What was found about a pair.
    struct Finding: Sendable {
        let difference: PartialDifference
        let histogram: MagnitudeHistogram
    }

    init(plan: ComparisonPlan, candidates: [Int]) {
        self.plan = plan
        self.candidates = candidates
        pass = ChunkedPass(candidates.map { plan.pairs[$0].chunks(of: PairWorker.chunkElements) })
        histograms = Mutex(candidates.map { _ in MagnitudeHistogram() })
    }

    /// What was found about each pair, after all workers have returned.
    var results: [Int: Finding] {
        let findings = zip(pass.results, histograms.withLock { $0 }).map(Finding.init)
        return Dictionary(uniqueKeysWithValues: zip(candidates, findings))
    }

    /// Works until there is nothing left. Several threads may do so at once.
    ///
    /// - Parameter capacity: Elements of the largest chunk.
    func work(_ supervisor: Supervisor, capacity: Int) {
        guard !candidates.isEmpty else { return }
        pass.work(supervisor, Worker(comparison: self, worker: PairWorker(plan: plan, capacity: capacity)))
    }

    private struct Worker: ChunkWorker {
        let comparison: ValueComparison
        let worker: PairWorker

        private func pair(_ item: Int) -> TensorPair { comparison.plan.pairs[comparison.candidates[item]] }

        func open(item: Int) throws { try worker.open(pair(item)) }

        func measure(item: Int, _ range: Range<Int>, onRead: (Int) -> Void) throws -> PartialDifference {
            try worker.compare(pair(item), range, onRead: onRead)
        }

        func close(item: Int) {
            comparison.histograms.withLock { $0[item].merge(worker.tally.drain()) }
        }
    }
}
