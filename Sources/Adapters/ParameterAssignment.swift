import Checkpoints
import Tensors

/// Finds out which parameters the factors of one module belong to, and how their products lie in them.
///
/// Ranks come from the configuration and the number of experts from the model: a guess at either gives a merge that works
/// and is wrong. What shapes leave open, the class decides where it is known; else it is an error.
struct ParameterAssignment {
    /// A module of factors with the parameter it was found to be.
    struct Placed: Hashable {
        let module: Int
        let place: ParameterPlace
        let target: ParameterTarget
        let isTransposed: Bool

        /// The tensors that have the parameter's values, and what each takes of the factors.
        var tensors: [(tensor: Int, placement: FactorPlacement)] {
            func placement(_ layout: FactorLayout) -> FactorPlacement {
                FactorPlacement(layout: layout, rank: target.rank, scaling: target.scaling, isRoundedFirst: true)
            }
            switch place {
            case .whole(let tensor, let shape) where shape.count == 2: return [(tensor, placement(.outIn))]
            case .whole(let tensor, let shape):
                return [(tensor, placement(.experts(count: shape[0], transposed: isTransposed)))]
            case .split(let parts, let shape):
                return parts.map { part in
                    let layout = FactorLayout.expert(
                        part.expert, of: shape[0], transposed: isTransposed, rows: part.rows)
                    return (part.tensor, placement(layout))
                }
            }
        }
    }

    /// The first PEFT that tells [experts, out, in] and [experts, in, out] apart.
    static let firstKnowing = PEFTVersion(major: 0, minor: 19)

    /// The module that has the parameters.
    let owner: String
    /// The factors of its parameters, with their indices among the adapter's modules.
    let modules: [(index: Int, module: LoRAModule)]
    /// The parameters that are in the model.
    let places: [(target: ParameterTarget, place: ParameterPlace)]
    let orientation: WeightOrientation
    /// Whether the PEFT that wrote the adapter was ``firstKnowing`` or later.
    let writerKnowsOrientation: Bool

    /// The one way in which everything fits.
    func solve() throws(LoRAMatchProblems) -> [Placed] {
        guard !places.isEmpty else { throw LoRAMatchProblems(missingParameters) }
        guard places.count == modules.count else {
            throw LoRAMatchProblems(
                .parameterCount(owner: owner, factors: modules.count, parameters: places.map(\.target.name)))
        }
        let solutions = [false, true].compactMap { arrangement(transposed: $0) }
        if solutions.contains(where: \.isAmbiguous) {
            throw LoRAMatchProblems(.sameShapes(parameters: places.map(\.target.name)))
        }
        if solutions.count > 1, let decided = try decide(among: solutions.map(\.placed)) { return decided }
        guard let solution = solutions.first else {
            throw LoRAMatchProblems(places.map(unfitting))
        }
        return solution.placed
    }

    /// A way to give each parameter factors that fit it.
    private struct Arrangement {
        let placed: [Placed]
        /// Whether several parameters want factors of one shape: then there are other ways.
        let isAmbiguous: Bool
    }

    /// What factors must have in common to fit the same parameter.
    private struct FactorShape: Hashable {
        let rank: Int
        let inFeatures: Int
        let outFeatures: Int
    }

    /// An arrangement for one order of the experts' dimensions; `nil` when there is none, or no experts to have an order.
    ///
    /// Factors and parameters are counted by their shapes: to try all ways would take a time that grows as the factorial of
    /// the number of parameters.
    private func arrangement(transposed: Bool) -> Arrangement? {
        guard !transposed || places.contains(where: { $0.place.shape.count == 3 }) else { return nil }
        var candidates = Dictionary(grouping: modules) { _, module in
            FactorShape(rank: module.rank, inFeatures: module.inFeatures, outFeatures: module.outFeatures)
        }
        let isAmbiguous = candidates.values.contains { $0.count > 1 }
        var placed: [Placed] = []
        for (target, place) in places {
            guard let shape = factorShape(of: target, place.shape, transposed: transposed),
                let candidate = candidates[shape]?.popLast()
            else { return nil }
            placed.append(Placed(module: candidate.index, place: place, target: target, isTransposed: transposed))
        }
        // As many factors as parameters, so that all factors have one.
        return Arrangement(placed: placed, isAmbiguous: isAmbiguous)
    }

    /// The shape of the factors that fit a parameter; `nil` when none can.
    private func factorShape(of target: ParameterTarget, _ shape: [Int], transposed: Bool) -> FactorShape? {
        switch shape.count {
        case 2: return FactorShape(rank: target.rank, inFeatures: shape[1], outFeatures: shape[0])
        case 3:
            // The rank is the configuration's, and may be any number.
            let (rank, overflow) = target.rank.multipliedReportingOverflow(by: shape[0])
            guard !overflow else { return nil }
            return FactorShape(
                rank: rank, inFeatures: shape[transposed ? 1 : 2], outFeatures: shape[transposed ? 2 : 1])
        default: return nil
        }
    }

    /// Takes what the model's class says where shapes say nothing.
    private func decide(among solutions: [[Placed]]) throws(LoRAMatchProblems) -> [Placed]? {
        let names = places.map(\.target.name)
        guard Set(solutions.map { $0.map(\.module) }).count == 1 else {
            throw LoRAMatchProblems(.sameShapes(parameters: names))
        }
        guard let isTransposed = orientation.expertsAreTransposed else {
            throw LoRAMatchProblems(.unknownOrientation(parameters: names))
        }
        // Before it knew the difference, PEFT took all experts for [experts, in, out].
        guard isTransposed || writerKnowsOrientation else {
            throw LoRAMatchProblems(.oldOrientation(parameters: names))
        }
        return solutions.first { $0.allSatisfy { $0.isTransposed == isTransposed } }
    }

    private var missingParameters: [LoRAMatchProblem] {
        let names = modules.first?.module.parameter?.targets.map(\.name) ?? []
        return names.map { .noTensor(name: $0, closest: []) }
    }

    private func unfitting(_ target: ParameterTarget, _ place: ParameterPlace) -> LoRAMatchProblem {
        .parameterShape(
            name: target.name, found: place.shape, rank: target.rank, rankSource: target.rankSource,
            factors: modules.map { [$0.module.rank, $0.module.inFeatures, $0.module.outFeatures] })
    }
}

/// Why the factors of one module fit no parameter.
struct LoRAMatchProblems: Error {
    let all: [LoRAMatchProblem]

    init(_ all: [LoRAMatchProblem]) { self.all = all }
    init(_ problem: LoRAMatchProblem) { all = [problem] }
}
