/// A parameter that `target_parameters` names on a module, with what the configuration says of it.
public struct ParameterTarget: Hashable, Sendable {
    /// The parameter's path in the base model: `model.layers.0.mlp.experts.down_proj`.
    public let name: String
    /// The rank r of its factors, for each expert.
    public let rank: Int
    /// What in the configuration gives the rank.
    let rankSource: String
    public let alpha: Double
    /// alpha / rank, or alpha / √rank with rsLoRA.
    public let scaling: Double
}

/// Factors of a parameter (PEFT's `ParamWrapper`).
///
/// In the file they stand under the parameter's *module*, not under the parameter: a second parameter of the same module
/// wraps the first, whose factors move to `<module>.base_layer`, and so on. Which is which follows from the order of the
/// parameters in the module's class, that no file shows, so it is found by shapes when a model is at hand.
public struct WrappedParameter: Hashable, Sendable {
    /// The path of the module that has the parameter: `model.layers.0.mlp.experts`.
    public let owner: String
    /// How many `.base_layer` follow it in the file.
    public let depth: Int
    /// The parameters it may be.
    public let targets: [ParameterTarget]

    /// Splits a path of the file: `…experts.base_layer` is `…experts` at depth 1.
    static func split(_ path: String) -> (owner: String, depth: Int) {
        let suffix = ".base_layer"
        var owner = path[...]
        var depth = 0
        while owner.hasSuffix(suffix) {
            owner = owner.dropLast(suffix.count)
            depth += 1
        }
        return (String(owner), depth)
    }
}

extension ModuleRules {
    /// The parameters of a module that `target_parameters` names.
    ///
    /// PEFT's `_inject_parameters`: an entry is a parameter's path or the end of one, from a component's start.
    func targets(on owner: String) -> [ParameterTarget] {
        var names: [String] = []
        for entry in targetParameters {
            let components = entry.split(separator: ".", omittingEmptySubsequences: false)
            guard let leaf = components.last, !leaf.isEmpty else { continue }
            let end = components.dropLast().joined(separator: ".")
            guard end.isEmpty || owner == end || owner.hasSuffix("." + end) else { continue }
            let name = "\(owner).\(leaf)"
            if !names.contains(name) { names.append(name) }
        }
        return names.map { name in
            let rank = rank(of: name)
            return ParameterTarget(
                name: name, rank: rank.rank, rankSource: rank.source, alpha: alpha(of: name),
                scaling: scaling(of: name, rank: rank.rank))
        }
    }
}
