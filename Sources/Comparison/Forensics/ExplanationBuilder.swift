import Adapters
import Tensors

/// Puts what the sums say about all tensors into words.
struct ExplanationBuilder {
    let plan: ComparisonPlan
    /// The pairs whose bytes are all the same.
    let identical: Set<Int>
    /// The sums of the pairs that were looked at.
    let sums: [Int: FitSums]
    private let optionalTensors: OptionalTensors

    init(plan: ComparisonPlan, identical: Set<Int>, sums: [Int: FitSums]) {
        self.plan = plan
        self.identical = identical
        self.sums = sums
        optionalTensors = OptionalTensors(plan)
    }

    /// What is known of a pair before other updates were tried.
    struct Draft {
        let pair: Int
        let judge: FitJudge
        let judgement: FitJudge.Judgement
    }

    /// A first judgement about every pair with an update.
    func drafts() -> [Draft] {
        plan.pairs.indices.compactMap { index in
            let pair = plan.pairs[index]
            guard let module = module(of: pair), let adapter = plan.adapter, let sums = sums[index],
                let (base, merged) = pair.comparable
            else { return nil }
            let judge = FitJudge(sums, base: base.tensor.encoding, merged: merged.tensor.encoding)
            let readings = ScalingReading.all(for: module, of: adapter.configuration)
            return Draft(pair: index, judge: judge, judgement: judge.judgement(readings))
        }
    }

    func explanations(
        _ drafts: [Draft], found: [Int: UpdateSearch.Finding]
    ) -> [TensorExplanation] {
        // Where several mistakes explain a scaling, the one that explains most modules.
        var votes: [MergeOutcome: Int] = [:]
        for case .scaled(let readings) in drafts.map(\.judgement) {
            for outcome in Set(readings.map(\.outcome)) { votes[outcome, default: 0] += 1 }
        }
        // Where even a right merge rounds back to the base, a module alone does not tell whether there was one. The others do.
        let isUnmerged =
            drafts.contains { $0.judgement == .outcome(.missing) }
            && drafts.allSatisfy { $0.judgement == .unchanged || $0.judgement == .outcome(.missing) }
        let draftOfPair = Dictionary(uniqueKeysWithValues: drafts.map { ($0.pair, $0) })
        return plan.pairs.indices.map { index in
            guard let draft = draftOfPair[index] else { return withoutUpdate(index) }
            return explanation(draft, votes, found[index], unchanged: isUnmerged ? .missing : .erased)
        }
    }

    /// The module whose update a tensor should hold.
    private func module(of pair: TensorPair) -> LoRAModule? {
        guard let change = pair.changes.first, let adapter = plan.adapter else { return nil }
        return adapter.changes[change.change].module.map { adapter.modules[$0] }
    }

    private func withoutUpdate(_ index: Int) -> TensorExplanation {
        let pair = plan.pairs[index]
        guard let (base, merged) = pair.comparable else {
            return explanation(pair, outcomeOfOneSide(pair) ?? .notComparable)
        }
        guard let sums = sums[index] else {
            // Integers of one dtype can still be told to differ.
            let outcome: MergeOutcome = pair.hasOneEncoding ? .changedWithoutUpdate : .notComparable
            return explanation(pair, identical.contains(index) ? .untouched : outcome)
        }
        let judge = FitJudge(sums, base: base.tensor.encoding, merged: merged.tensor.encoding)
        return explanation(pair, judge.outcomeWithoutUpdate, judge: judge)
    }

    /// What it means that only one model has a tensor that the adapter leaves alone; `nil` for any other.
    private func outcomeOfOneSide(_ pair: TensorPair) -> MergeOutcome? {
        guard pair.changes.isEmpty, pair.a == nil || pair.b == nil else { return nil }
        if optionalTensors.contains(pair) { return .onlyInOne }
        return pair.b == nil ? .missingTensor : .extraTensor
    }

    private func explanation(
        _ draft: Draft, _ votes: [MergeOutcome: Int], _ found: UpdateSearch.Finding?, unchanged: MergeOutcome
    ) -> TensorExplanation {
        let pair = plan.pairs[draft.pair]
        switch draft.judgement {
        case .outcome(let outcome): return explanation(pair, outcome, judge: draft.judge)
        case .unchanged: return explanation(pair, unchanged, judge: draft.judge)
        case .scaled(let readings):
            // The first of those with the most votes.
            let outcomes = readings.map(\.outcome)
            let most = outcomes.max { votes[$0, default: 0] < votes[$1, default: 0] }
            let first = outcomes.first { votes[$0, default: 0] == most.map { votes[$0, default: 0] } }
            var others: [MergeOutcome] = []
            for outcome in outcomes where outcome != first && !others.contains(outcome) { others.append(outcome) }
            return explanation(pair, first ?? .scaled, alternatives: others, judge: draft.judge)
        case .search(let otherwise):
            guard let found, draft.judge.isBetter(found.fit, of: found.sums) else {
                return explanation(pair, otherwise, judge: draft.judge)
            }
            switch found.hypothesis {
            case .transposed: return explanation(pair, .transposed, judge: draft.judge, otherFit: found.fit)
            case .asConfigured(let match):
                return explanation(
                    pair, .otherModule, judge: draft.judge,
                    otherModule: plan.adapter.flatMap { adapter in
                        adapter.changes[match.change].module.map { adapter.modules[$0].name }
                    },
                    otherFit: found.fit)
            }
        }
    }

    private func explanation(
        _ pair: TensorPair, _ outcome: MergeOutcome, alternatives: [MergeOutcome] = [], judge: FitJudge? = nil,
        otherModule: String? = nil, otherFit: ScalingFit? = nil
    ) -> TensorExplanation {
        let sums = judge?.sums
        func ratioToBase(_ squared: Double?) -> Double? {
            guard let sums, let squared, sums.squaredBase > 0 else { return nil }
            return (squared / sums.squaredBase).squareRoot()
        }
        let limit = judge.map { $0.allowance.limit(squaredUpdate: $0.sums.squaredUpdate) }
        let rest = judge?.fit?.squaredRest ?? sums?.squaredChange
        return TensorExplanation(
            name: pair.name, base: pair.a?.tensor, merged: pair.b?.tensor,
            module: module(of: pair), outcome: outcome, alternatives: alternatives,
            fit: judge?.fit, otherModule: otherModule, otherFit: otherFit,
            changeRatio: ratioToBase(sums?.squaredChange),
            updateRatio: pair.changes.isEmpty ? nil : ratioToBase(sums?.squaredUpdate),
            restToRounding: limit.flatMap { limit in
                rest.flatMap { limit > 0 ? ($0 / limit).squareRoot() : $0 == 0 ? 0 : nil }
            },
            keptIfNearest: judge.flatMap { $0.sums.nearest.ratio(of: $0.sums) })
    }
}
