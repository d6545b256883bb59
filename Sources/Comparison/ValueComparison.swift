import Adapters
import Reports
import Synchronization
import Tensors
import Workers

/// Compares the values of the pairs that may differ.
final class ValueComparison: Sendable {
    let plan: ComparisonPlan
    /// The pairs that take part, as indices into the plan's.
    let candidates: [Int]
    private let jobs: JobList
    private let progress: [PairProgress]
    private let findings: Mutex<[Int: Finding]>

    /// What was found about a pair.
    struct Finding: Sendable {
        let difference: PartialDifference
        let histogram: MagnitudeHistogram
    }

    init(plan: ComparisonPlan, candidates: [Int]) {
        self.plan = plan
        self.candidates = candidates
        let counts = candidates.map { index in
            let pair = plan.pairs[index]
            let elements = pair.comparable?.a.tensor.elementCount ?? 0
            return (elements + pair.chunkElements - 1) / pair.chunkElements
        }
        jobs = JobList(counts: counts)
        progress = counts.map(PairProgress.init)
        let empty = zip(candidates, counts).filter { $1 == 0 }.map(\.0)
        let nothing = Finding(difference: PartialDifference(), histogram: MagnitudeHistogram())
        findings = Mutex(Dictionary(uniqueKeysWithValues: empty.map { ($0, nothing) }))
    }

    /// What was found about each pair, after all workers have returned.
    var results: [Int: Finding] { findings.withLock { $0 } }

    /// Works until there is nothing left. Several threads may do so at once.
    ///
    /// - Parameter capacity: Elements of the largest chunk.
    func work(_ supervisor: Supervisor, capacity: Int) {
        let worker = PairWorker(plan: plan, capacity: capacity)
        var item = 0
        var held: Int?
        var heldParts = 0
        func release() {
            guard let index = held else { return }
            let complete = progress[index].add(worker.tally.drain(), ofParts: heldParts)
            if let (difference, histogram) = complete {
                let finding = Finding(difference: difference, histogram: histogram)
                findings.withLock { $0[candidates[index]] = finding }
            }
            held = nil
            heldParts = 0
        }
        while supervisor.shouldGoOn, let (candidate, job) = jobs.claim(from: item) {
            item = candidate
            supervisor.watch {
                let pair = plan.pairs[candidates[candidate]]
                if held != candidate {
                    release()
                    held = candidate
                    try worker.open(pair)
                }
                let elements = pair.comparable?.a.tensor.elementCount ?? 0
                let start = job * pair.chunkElements
                let range = start..<min(start + pair.chunkElements, elements)
                progress[candidate].add(try worker.compare(pair, range, onRead: supervisor.advance), part: job)
                heldParts += 1
            }
        }
        release()
    }
}
