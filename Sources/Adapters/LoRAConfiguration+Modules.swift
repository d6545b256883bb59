import SystemPackage
import Tensors

/// A configuration with its patterns compiled: what it says of one module.
///
/// Compiled patterns cannot be shared between threads, so this lives while an adapter is opened and no longer.
package struct ModuleRules {
    private let configuration: LoRAConfiguration
    private let ranks: [(pattern: ModulePattern, key: String, value: Int)]
    private let alphas: [(pattern: ModulePattern, value: Double)]
    private let targets: CompiledSelection?
    private let exclusions: CompiledSelection?
    private let layers: [ModulePattern]

    /// - Parameter file: The configuration's file, for messages.
    /// - Throws: ``AdapterError/invalidPattern(file:key:pattern:)``.
    package init(_ configuration: LoRAConfiguration, file: FilePath) throws(AdapterError) {
        func compile(_ key: String, _ pattern: String, _ make: (String) throws -> ModulePattern) throws(AdapterError)
            -> ModulePattern
        {
            do {
                return try make(pattern)
            } catch {
                throw .invalidPattern(file: file, key: key, pattern: pattern)
            }
        }
        func compile(_ key: String, _ selection: ModuleSelection?) throws(AdapterError) -> CompiledSelection? {
            switch selection {
            case nil: nil
            case .names(let names): .names(names, suffixes: names.map { "." + $0 })
            // PEFT's word for every linear layer but the output head, resolved when the adapter was made.
            case .expression("all-linear"): nil
            case .expression(let pattern):
                .expression(try compile(key, pattern, ModulePattern.init(wholePath:)))
            }
        }
        self.configuration = configuration
        var ranks: [(ModulePattern, String, Int)] = []
        for override in configuration.rankPattern {
            let pattern = try compile("rank_pattern", override.pattern, ModulePattern.init(endOfPath:))
            ranks.append((pattern, override.pattern, override.value))
        }
        self.ranks = ranks
        var alphas: [(ModulePattern, Double)] = []
        for override in configuration.alphaPattern {
            alphas.append(
                (try compile("alpha_pattern", override.pattern, ModulePattern.init(endOfPath:)), override.value))
        }
        self.alphas = alphas
        targets = try compile("target_modules", configuration.targetModules)
        exclusions = try compile("exclude_modules", configuration.excludeModules)
        var layers: [ModulePattern] = []
        // Nobody asks for a layer otherwise, and compiling takes longer than reading the configuration.
        if configuration.layersPattern.isEmpty, configuration.layersToTransform != nil {
            layers.append(try compile("layers_pattern", "") { _ in try ModulePattern(layerIndexAfter: nil) })
        }
        for pattern in configuration.layersPattern {
            layers.append(try compile("layers_pattern", pattern) { try ModulePattern(layerIndexAfter: $0) })
        }
        self.layers = layers
    }

    /// Whether modules have magnitudes (DoRA).
    var usesDoRA: Bool { configuration.useDoRA }
    /// Whether lora_B has a bias.
    var hasLoRABias: Bool { configuration.loraBias }
    /// Whether weights of linear layers are stored [in, out].
    var fanInFanOut: Bool { configuration.fanInFanOut }

    /// Whether a tensor belongs to a module that was trained in full.
    func savesModule(of tensor: String) -> Bool { configuration.savesModule(of: tensor) }

    /// The rows of a module's weight that `trainable_token_indices` names.
    func tokenIndices(of module: String) -> [Int]? {
        switch configuration.trainableTokenIndices {
        case .ofEmbedding(let rows): rows
        case .ofModules(let modules):
            // The most exact name, should several fit.
            modules.filter { module == $0.key || module.hasSuffix("." + $0.key) }.max { $0.key.count < $1.key.count }?
                .value
        case nil: nil
        }
    }

    /// Entries of `target_parameters`.
    var targetParameters: [String] { configuration.targetParameters }

    /// Whether `target_modules` names a module; `nil` when there is no `target_modules` to say so.
    func isTargeted(_ module: String) -> Bool? { targets.map { $0.contains(module) } }

    /// The rank that a module's factors must have, and the key that says so.
    package func rank(of module: String) -> (rank: Int, source: String) {
        guard let match = ranks.first(where: { $0.pattern.matches(module) }) else { return (configuration.r, "r") }
        return (match.value, "rank_pattern[\"\(match.key)\"]")
    }

    /// lora_alpha of a module.
    package func alpha(of module: String) -> Double {
        alphas.first { $0.pattern.matches(module) }?.value ?? configuration.loraAlpha
    }

    /// lora_alpha / r, or lora_alpha / √r with rsLoRA, in float64 as Python computes it.
    package func scaling(of module: String, rank: Int) -> Double {
        let alpha = alpha(of: module)
        return configuration.useRSLoRA ? alpha / Double(rank).squareRoot() : alpha / Double(rank)
    }

    /// Why PEFT would not put a LoRA on a module when it loads this adapter; `nil` when it would.
    ///
    /// PEFT's `check_target_module_exists`. PEFT drops the factors of such a module with a warning; they are an error here.
    package func objection(to module: String) -> ModuleObjection? {
        if let exclusions, exclusions.contains(module) { return .excluded }
        if configuration.savesWhole(module) { return .saved }
        guard let targets else { return nil }
        guard targets.contains(module) else { return .notTargeted }
        // A full path in target_modules counts whatever layers_to_transform says.
        guard let wanted = configuration.layersToTransform, !targets.names(module) else { return nil }
        guard let layer = layers.lazy.compactMap({ $0.layerIndex(in: module) }).first else {
            return .layer(nil, expected: wanted)
        }
        return wanted.contains(layer) ? nil : .layer(layer, expected: wanted)
    }
}

extension LoRAConfiguration {
    /// Whether `modules_to_save` names the module that a tensor belongs to, or one that contains it.
    ///
    /// PEFT's `_set_trainable` asks for `key.endswith(name)`, so that `head` names `lm_head` too.
    func savesModule(of tensor: String) -> Bool {
        guard !modulesToSave.isEmpty else { return false }
        let components = tensor.split(separator: ".")
        let paths = components.indices.dropFirst().map { components[..<$0].joined(separator: ".") }
        return modulesToSave.contains { name in paths.contains { $0.endsWithBytes(name) } }
    }

    /// Whether `modules_to_save` keeps factors off a module: it names it, or one that contains it, by whole components.
    ///
    /// PEFT asks for a match of `(^|.*\.)NAME($|\..*)`. That NAME is a regular expression there can be left out: by such a
    /// name PEFT would save nothing.
    fileprivate func savesWhole(_ module: String) -> Bool {
        guard !modulesToSave.isEmpty else { return false }
        let path = ".\(module).".utf8
        return modulesToSave.contains { path.contains(".\($0).".utf8) }
    }
}

/// Why a module that a file has factors for should have none by its configuration.
public enum ModuleObjection: Hashable, Sendable {
    case excluded
    /// It was trained in full (`modules_to_save`), and PEFT puts no factors on such a module.
    case saved
    case notTargeted
    /// Its layer (`nil` when the path has none) is not among `layers_to_transform`.
    case layer(Int?, expected: [Int])
}

private enum CompiledSelection {
    /// Paths of modules, or their ends, which follow a dot.
    case names([String], suffixes: [String])
    case expression(ModulePattern)

    func contains(_ module: String) -> Bool {
        switch self {
        case .names(let names, let suffixes): suffixes.contains(where: module.endsWithBytes) || names.contains(module)
        case .expression(let pattern): pattern.matches(module)
        }
    }

    /// Whether the module's whole path stands in a list.
    func names(_ module: String) -> Bool {
        if case .names(let names, _) = self { names.contains(module) } else { false }
    }
}
