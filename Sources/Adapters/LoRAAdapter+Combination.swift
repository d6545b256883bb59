import Checkpoints
import LosslessJSON
import SystemPackage
import Tensors

extension LoRAAdapter {
    /// Makes one adapter of several, as PEFT's `add_weighted_adapter` does. Its scaling is 1: those of the adapters are in
    /// its factors.
    ///
    /// A module that only some adapters have is combined of those. Ranks must be equal, except with `cat`, which adds them up.
    ///
    /// - Parameters:
    ///   - adapters: At least two.
    ///   - weights: What each adapter's updates are multiplied with.
    /// - Throws: ``AdapterError/uncombinable(adapters:reason:)``.
    public init(combining adapters: [LoRAAdapter], weights: [Double], by combination: AdapterCombination) throws {
        let directories = adapters.map(\.directory)
        do {
            guard adapters.count > 1, adapters.count == weights.count else {
                throw UncombinableAdapters("at least two adapters are needed, each with a weight")
            }
            for adapter in adapters { try UncombinableAdapters.check(adapter) }
            guard Set(adapters.map(\.configuration.fanInFanOut)).count == 1 else {
                throw UncombinableAdapters("fan_in_fan_out is not the same in all of them")
            }
            guard adapters.allSatisfy(\.configuration.layerReplication.isEmpty) else {
                throw UncombinableAdapters("layer_replication is set in one of them")
            }
            let modules = try LoRAAdapter.modules(of: adapters, combination)
            let factors = CombinedFactors(adapters, weights: weights, combination: combination, modules: modules)
            let name = FilePath(directories.map(\.string).joined(separator: " + "))
            let configuration = LoRAAdapter.configuration(modules, fanInFanOut: adapters[0].configuration.fanInFanOut)
            try self.init(
                directory: name, configurationFile: name, configurationBytes: Array(configuration.serialized().utf8),
                weightsFile: name, weights: factors, files: factors.files)
        } catch let error as UncombinableAdapters {
            throw AdapterError.uncombinable(adapters: directories, reason: error.reason)
        }
    }

    /// The modules of all adapters: those of the first in its order, then what the others have beside them.
    private static func modules(
        of adapters: [LoRAAdapter], _ combination: AdapterCombination
    ) throws(UncombinableAdapters) -> [CombinedModule] {
        var order: [String] = []
        var sources: [String: [(adapter: Int, module: Int)]] = [:]
        for (index, adapter) in adapters.enumerated() {
            for (module, described) in adapter.modules.enumerated() {
                if sources[described.name] == nil { order.append(described.name) }
                sources[described.name, default: []].append((index, module))
            }
        }
        var modules: [CombinedModule] = []
        for path in order {
            modules.append(try combinedModule(path, sources[path] ?? [], adapters, combination))
        }
        return modules
    }

    private static func combinedModule(
        _ path: String, _ sources: [(adapter: Int, module: Int)], _ adapters: [LoRAAdapter],
        _ combination: AdapterCombination
    ) throws(UncombinableAdapters) -> CombinedModule {
        let found = sources.map { source in
            let adapter = adapters[source.adapter]
            let tensors = adapter.modules[source.module].tensors
            return (a: adapter.weights.tensors[tensors.a], b: adapter.weights.tensors[tensors.b])
        }
        let ranks = found.map { $0.a.shape[0] }
        guard combination.method == .cat || Set(ranks).count == 1 else {
            throw UncombinableAdapters(
                "\(path): has ranks \(ranks.map(String.init).joined(separator: ", ")); \(combination.method.rawValue) needs equal ones, \"cat\" does not"
            )
        }
        var (aShape, bShape) = (found[0].a.shape, found[0].b.shape)
        for tensors in found.dropFirst() {
            guard tensors.a.shape.dropFirst() == aShape.dropFirst(), tensors.b.shape[0] == bShape[0] else {
                throw UncombinableAdapters(
                    "\(path): has factors of shapes \(aShape), \(bShape) and \(tensors.a.shape), \(tensors.b.shape); are they for the same model?"
                )
            }
            if combination.method == .cat {
                aShape[0] += tensors.a.shape[0]
                bShape[1] += tensors.b.shape[1]
            }
        }
        return CombinedModule(
            a: (found[0].a.name, aShape), b: (found[0].b.name, bShape), path: path, sources: sources)
    }

    /// The configuration of the combined adapter: alpha is the rank, so that the scaling is 1.
    private static func configuration(_ modules: [CombinedModule], fanInFanOut: Bool) -> JSONValue {
        let rank = modules.map(\.rank).max() ?? 1
        var pattern = JSONValue.object([:])
        for module in modules where module.rank != rank {
            pattern["^" + module.path.replacing(".", with: "\\.")] = .int(module.rank)
        }
        return [
            "peft_type": "LORA", "r": .int(rank), "lora_alpha": .int(rank), "fan_in_fan_out": .bool(fanInFanOut),
            "rank_pattern": pattern, "alpha_pattern": pattern,
        ]
    }
}

/// Why adapters cannot be made one.
private struct UncombinableAdapters: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }

    /// Only what is made of two plain factors can be combined.
    static func check(_ adapter: LoRAAdapter) throws(UncombinableAdapters) {
        for change in adapter.changes {
            guard case .lowRank(let index) = change.kind else {
                throw UncombinableAdapters("\(change.tensorName): \(adapter.directory) has more than factors for it")
            }
            guard adapter.modules[index].parameter == nil else {
                throw UncombinableAdapters(
                    "\(adapter.modules[index].name): \(adapter.directory) has factors for parameters (target_parameters)"
                )
            }
            guard !adapter.modules[index].hasMagnitude else {
                throw UncombinableAdapters(
                    "\(adapter.modules[index].name): uses DoRA (use_dora) in \(adapter.directory)")
            }
        }
    }
}
