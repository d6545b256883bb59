import Adapters
import LosslessJSON

/// What the configuration says that has no effect, or that says more than it seems to.
struct ConfigurationChecks {
    static let initialization = "init_lora_weights"

    let document: JSONValue
    /// What could be opened of the adapter.
    let adapter: LoRAAdapter?

    var findings: [LintFinding] { changedBase + idlePatterns + idleTargets + baseName }

    /// PiSSA, OLoRA and their kind move a part of the base's weights into the factors.
    private var changedBase: [LintFinding] {
        guard let value = document[ConfigurationChecks.initialization],
            !LoRAConfiguration.initializationsThatKeepTheBase.contains(value)
        else { return [] }
        return [
            LintFinding(
                .changedBase, ConfigurationChecks.initialization,
                """
                \(value.serialized()) changed the base before training: the factors fit only the changed base, unless the \
                adapter was saved with path_initial_model_for_weight_conversion; merge it onto that base, with \
                init_lora_weights set to true
                """)
        ]
    }

    private var idlePatterns: [LintFinding] {
        guard let adapter else { return [] }
        return ["rank_pattern", "alpha_pattern"].flatMap { key in
            (document[key]?.object?.keys.elements ?? []).compactMap { pattern in
                guard let compiled = try? ModulePattern(endOfPath: pattern) else { return nil }
                let names = adapter.modules.flatMap { $0.parameter?.targets.map(\.name) ?? [$0.name] }
                guard !names.contains(where: compiled.matches) else { return nil }
                return LintFinding(
                    .idlePattern, "\(key)[\"\(pattern)\"]",
                    "matches none of the adapter's modules; is it misspelled, or are factors missing?")
            }
        }
    }

    /// Names in `target_modules` that no module with factors bears.
    private var idleTargets: [LintFinding] {
        guard let adapter, case .names(let names) = adapter.configuration.targetModules else { return [] }
        return names.compactMap { name in
            let isUsed = adapter.modules.contains { $0.name == name || $0.name.hasSuffix("." + name) }
            guard !isUsed else { return nil }
            return LintFinding(
                .idleTarget, "target_modules", "names \(name), but the adapter has factors for no such module")
        }
    }

    private var baseName: [LintFinding] {
        guard document["base_model_name_or_path"]?.string ?? "" == "" else { return [] }
        return [
            LintFinding(
                .noBaseName, "base_model_name_or_path", "does not say which model the adapter was trained on")
        ]
    }
}
