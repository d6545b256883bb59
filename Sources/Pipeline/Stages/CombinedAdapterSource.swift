import Adapters
import SystemPackage

/// The keys of `attach-adapter` that make one adapter of several.
struct CombinedAdapterSource: Sendable {
    private static let svdRemedy = """
        needs a singular value decomposition, which is not done here; \"cat\" is the exact sum that svd approximates, and \
        PEFT's add_weighted_adapter makes an adapter that can be given as \"path\"
        """

    static let keys = [
        SpecKey(
            "adapters",
            .objects([
                SpecKey("path", .string, required: true, "The adapter's directory. Relative to the spec."),
                SpecKey("weight", .number, default: 1.0, "The adapter's weight in the combination."),
            ]),
            "In place of path: adapters that are made one before it is attached, as PEFT's add_weighted_adapter does."),
        SpecKey(
            "combination", .choice(AdapterCombination.Method.allCases.map(\.rawValue)),
            refused: Dictionary(
                uniqueKeysWithValues: ["svd", "ties_svd", "dare_linear_svd", "dare_ties_svd", "magnitude_prune_svd"]
                    .map { ($0, "it \(svdRemedy)") }),
            "How adapters are made one. All but cat combine lora_A's and lora_B's each for themselves."),
        SpecKey(
            "density", .number,
            "The share of values that ties, dare_linear, dare_ties and magnitude_prune keep: above 0, at most 1."),
        SpecKey(
            "majority_sign_method", .choice(AdapterCombination.MajoritySignMethod.allCases.map(\.rawValue)),
            "How ties and dare_ties find the majority's sign: by the sum of the values (total, the default) or by their number."
        ),
        SpecKey("seed", .integer, "The seed of what dare_linear and dare_ties drop. Default: 0."),
    ]

    private let adapters: [(path: FilePath, inSpec: String, weight: Double)]
    private let combination: AdapterCombination

    /// - Returns: `nil` when the step gives no `adapters`.
    /// - Throws: ``SpecError`` for a key that is missing, or has no effect.
    init?(_ arguments: SpecObject, directory: FilePath) throws(SpecError) {
        func misplaced(_ key: String, _ reason: String) -> SpecError {
            SpecError(place: arguments.place, problem: "\"\(key)\" has no effect \(reason)", remedy: "drop it")
        }
        guard let list = arguments.values["adapters"]?.array else {
            for key in ["combination", "density", "majority_sign_method", "seed"] where arguments.values[key] != nil {
                throw misplaced(key, "without \"adapters\"")
            }
            return nil
        }
        guard list.count > 1 else {
            throw SpecError(
                place: arguments.place, problem: "\"adapters\" has one adapter",
                remedy: "give at least two, or its \"path\" and \"weight\" in the step itself")
        }
        guard arguments.string("combination") != nil else {
            throw SpecError(
                place: arguments.place, problem: "\"combination\" is missing",
                remedy: "give one of \(wordList(AdapterCombination.Method.allCases.map { "\"\($0.rawValue)\"" }))")
        }
        let method = try arguments.choice("combination", AdapterCombination.Method.self)
        let with = "with \"\(method.rawValue)\""
        if !method.isSparse, arguments.values["density"] != nil { throw misplaced("density", with) }
        if !method.electsSigns, arguments.values["majority_sign_method"] != nil {
            throw misplaced("majority_sign_method", with)
        }
        if !method.isRandom, arguments.values["seed"] != nil { throw misplaced("seed", with) }
        let density = arguments.double("density")
        if method.isSparse {
            guard let density, density > 0, density <= 1 else {
                throw SpecError(
                    place: arguments.place,
                    problem: density.map { "\"density\" is \($0)" } ?? "\"density\" is missing",
                    remedy: "\(method.rawValue) needs the share of values to keep: above 0, at most 1")
            }
        }
        var adapters: [(path: FilePath, inSpec: String, weight: Double)] = []
        for (index, element) in list.enumerated() {
            guard let path = element["path"]?.string else { continue }
            let weight = element["weight"]?.double ?? 1
            try SpecObject.checkWeight(weight, "weight", place: "\(arguments.place), \"adapters\" \(index + 1)")
            adapters.append((directory.pushing(FilePath(path)), path, weight))
        }
        self.adapters = adapters
        combination = AdapterCombination(
            method, density: density ?? 1,
            majoritySignMethod: arguments.string("majority_sign_method")
                .flatMap(AdapterCombination.MajoritySignMethod.init) ?? .total,
            seed: UInt64(arguments.int("seed") ?? 0))
    }

    /// The directories of the adapters that are combined.
    var paths: [FilePath] { adapters.map(\.path) }

    /// The combined adapter.
    func adapter() throws -> LoRAAdapter {
        try LoRAAdapter(
            combining: adapters.map { try LoRAAdapter(directory: $0.path) }, weights: adapters.map(\.weight),
            by: combination)
    }

    /// The combination as reports name it: `ties of a (0.7), b (0.3)`.
    var description: String {
        let list = adapters.map { "\($0.inSpec) (\($0.weight))" }.joined(separator: ", ")
        return "\(combination.method.rawValue) of \(list)"
    }
}
