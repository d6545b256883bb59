import Adapters
import Tensors

/// Looks for the update that a change comes from, where it is not the module's own as configured.
///
/// Every update of the same shape is tried, and for square weights the own one transposed: on a sample of each tensor first,
/// on the whole with the one that explains most.
struct UpdateSearch {
    /// Elements of a tensor that all hypotheses are tried on.
    private static let sampleElements = 1 << 19

    /// What was found for a pair.
    struct Finding: Sendable {
        let hypothesis: UpdateHypothesis
        let sums: FitSums
        let fit: ScalingFit
    }

    let plan: ComparisonPlan
    /// The pairs that need another explanation, as indices into the plan's.
    let pairs: [Int]
    let run: ([FitWorker.Item], [Chunks]) throws -> [FitSums]

    /// The best explanation of each pair; none where there is nothing to try.
    func findings() throws -> [Int: Finding] {
        let tries = pairs.flatMap { pair in hypotheses(for: pair).map { (pair: pair, hypothesis: $0) } }
        let sampled = try run(tries.map { item($0.pair, $0.hypothesis) }, tries.map { sample(of: $0.pair) })
        var best: [Int: (hypothesis: UpdateHypothesis, share: Double)] = [:]
        for (attempt, sums) in zip(tries, sampled) {
            guard let fit = ScalingFit(sums), fit.share > best[attempt.pair]?.share ?? 0 else { continue }
            best[attempt.pair] = (attempt.hypothesis, fit.share)
        }
        let winners = pairs.compactMap { pair in best[pair].map { (pair: pair, hypothesis: $0.hypothesis) } }
        let whole = try run(winners.map { item($0.pair, $0.hypothesis) }, winners.map { chunks(of: $0.pair) })
        var findings: [Int: Finding] = [:]
        for (winner, sums) in zip(winners, whole) {
            findings[winner.pair] = ScalingFit(sums).map {
                Finding(hypothesis: winner.hypothesis, sums: sums, fit: $0)
            }
        }
        return findings
    }

    private func item(_ pair: Int, _ hypothesis: UpdateHypothesis) -> FitWorker.Item {
        FitWorker.Item(pair: plan.pairs[pair], updates: [hypothesis], predictsRounding: false)
    }

    private func hypotheses(for pair: Int) -> [UpdateHypothesis] {
        // What takes several updates at once has no single other one.
        guard plan.pairs[pair].changes.count == 1, let shape = plan.pairs[pair].a?.tensor.shape else { return [] }
        let own = plan.pairs[pair].changes[0]
        let isSquare = shape.count == 2 && shape[0] == shape[1]
        let others = plan.pairs.lazy.filter { $0.a?.tensor.shape == shape }.flatMap(\.changes).filter { $0 != own }
        return (isSquare ? [.transposed(own)] : []) + others.map { .asConfigured($0) }
    }

    private func chunks(of pair: Int) -> Chunks { plan.pairs[pair].chunks(of: FitWorker.chunkElements) }

    /// Chunks spread evenly over a tensor.
    private func sample(of pair: Int) -> Chunks {
        var chunks = chunks(of: pair)
        chunks.stride = max(1, chunks.elements / UpdateSearch.sampleElements)
        return chunks
    }
}
