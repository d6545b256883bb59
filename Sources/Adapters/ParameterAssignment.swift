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
        let solutions = [false, true].flatMap { arrangements(transposed: $0) }
        if solutions.count > 1, let decided = try decide(among: solutions) { return decided }
        guard let solution = solutions.first else {
            throw LoRAMatchProblems(places.map(unfitting))
        }
        return solution
    }

    /// Every way to give each parameter factors that fit it.
    private func arrangements(transposed: Bool) -> [[Placed]] {
        var partial: [[Placed]] = [[]]
        for (target, place) in places {
            partial = partial.flatMap { placed in
                modules.filter { candidate in
                    !placed.contains { $0.module == candidate.index }
                        && fits(candidate.module, target, place.shape, transposed: transposed)
                }.map { placed + [Placed(module: $0.index, place: place, target: target, isTransposed: transposed)] }
            }
        }
        return transposed ? partial.filter { $0.contains { $0.place.shape.count == 3 } } : partial
    }

    private func fits(_ module: LoRAModule, _ target: ParameterTarget, _ shape: [Int], transposed: Bool) -> Bool {
        let (inFeatures, outFeatures) = (module.inFeatures, module.outFeatures)
        switch shape.count {
        case 2: return module.rank == target.rank && shape == [outFeatures, inFeatures]
        case 3:
            // The rank is the configuration's, and may be any number.
            let (rank, overflow) = target.rank.multipliedReportingOverflow(by: shape[0])
            return !overflow && module.rank == rank
                && shape.dropFirst().elementsEqual(
                    transposed ? [inFeatures, outFeatures] : [outFeatures, inFeatures])
        default: return false
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
