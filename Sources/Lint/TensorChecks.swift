import Adapters
import Checkpoints
import Reports
import Tensors

/// What headers tell about the adapter's modules.
struct TensorChecks {
    /// A scaling above this is a slip (alpha not divided by the rank, say) more often than a choice. alpha = 2r gives 2;
    /// rsLoRA with alpha = 128 and r = 16 gives 32.
    static let largeScaling = 64.0
    /// The same onto a float16 base, where large updates leave the range soonest.
    static let largeScalingInFloat16 = 16.0

    let adapter: LoRAAdapter
    let examination: AdapterExamination
    let base: ModelDirectory?

    var findings: [LintFinding] { dtypes + scalings + ranks + missingLayers + names }

    private var names: [LintFinding] {
        guard !adapter.nameRules.isEmpty else { return [] }
        let rules = adapter.nameRules.joined(separator: ", ")
        return [
            LintFinding(
                .renamedTensors, nil, "the file's names are read \(rules), as save_pretrained would have written them")
        ]
    }

    /// Whole tensors do not count: they have the base's dtype, and PEFT keeps factors in float32.
    private var dtypes: [LintFinding] {
        let factors = adapter.modules.flatMap(\.tensors.all).sorted().map { adapter.weights.tensors[$0] }
        var counts: [DType: Int] = [:]
        var order: [DType] = []
        for dtype in factors.compactMap(\.encoding.denseDType) {
            if counts[dtype] == nil { order.append(dtype) }
            counts[dtype, default: 0] += 1
        }
        guard order.count > 1, let most = order.max(by: { counts[$0, default: 0] < counts[$1, default: 0] }) else {
            return []
        }
        // Those that are not like most are named, module by module.
        return factors.filter { $0.encoding.denseDType != nil && $0.encoding.denseDType != most }.map { tensor in
            LintFinding(
                .mixedDTypes, tensor.name,
                """
                is \(tensor.encoding.label), while \(counts[most, default: 0]) of \(factors.count) factors are \
                \(Encoding.dense(most).label); was the adapter put together from several?
                """)
        }
    }

    private var scalings: [LintFinding] {
        guard examination.fieldsSetAside.isDisjoint(with: LintedModule.fieldsOfScaling) else { return [] }
        let isFloat16 = base?.config?.dtype == .f16
        let limit = isFloat16 ? TensorChecks.largeScalingInFloat16 : TensorChecks.largeScaling
        return adapter.modules.compactMap { module in
            let scaling = NumberText.significant(module.scaling, digits: 4)
            if module.scaling == 0 {
                return LintFinding(
                    .zeroScaling, module.name, "the scaling is 0 (lora_alpha is 0): merging adds nothing")
            }
            guard module.scaling < 0 || module.scaling > limit else { return nil }
            let alpha = NumberText.significant(module.alpha, digits: 4)
            return LintFinding(
                .largeScaling, module.name,
                """
                the scaling is \(scaling) (lora_alpha \(alpha), rank \(module.matrixRank)\
                \(adapter.configuration.useRSLoRA ? ", use_rslora" : "")); \
                \(module.scaling < 0 ? "the update is subtracted" : "is lora_alpha right?")\
                \(isFloat16 && module.scaling > 0 ? " The base is float16, which ends at 65504" : "")
                """)
        }
    }

    private var ranks: [LintFinding] {
        adapter.modules.filter { module in
            // The columns of a convolution are in · kernel.
            let columns = module.weightShape.dropFirst(2).reduce(module.inFeatures, *)
            return module.matrixRank >= min(columns, module.outFeatures)
        }.map { module in
            LintFinding(
                .fullRank, module.name,
                "rank \(module.matrixRank) is as large as the weight's smaller dimension: the factors are no smaller than the weight"
            )
        }
    }

    /// Layers that have less modules than others, where the configuration chooses by names alone.
    private var missingLayers: [LintFinding] {
        if case .expression = adapter.configuration.targetModules { return [] }
        guard adapter.configuration.layersToTransform == nil, adapter.configuration.excludeModules == nil else {
            return []
        }
        var layersOfPattern: [String: Set<Int>] = [:]
        var order: [String] = []
        for module in examination.modulesInFile {
            guard let (pattern, layer) = TensorChecks.layer(of: module) else { continue }
            if layersOfPattern[pattern] == nil { order.append(pattern) }
            layersOfPattern[pattern, default: []].insert(layer)
        }
        // Towers of their own, such as a vision model's, count by themselves.
        var layersOfStack: [Substring: Set<Int>] = [:]
        for pattern in order {
            layersOfStack[TensorChecks.stack(of: pattern), default: []].formUnion(layersOfPattern[pattern] ?? [])
        }
        return order.compactMap { pattern in
            let found = layersOfPattern[pattern] ?? []
            let all = layersOfStack[TensorChecks.stack(of: pattern)] ?? []
            let missing = all.subtracting(found).sorted()
            // In models of mixed layers a kind of module is rare, not missing.
            guard !missing.isEmpty, missing.count * 2 < all.count else { return nil }
            let listed = missing.prefix(6).map(String.init).joined(separator: ", ")
            let more = missing.count > 6 ? " and \(missing.count - 6) more" : ""
            return LintFinding(
                .missingLayers, pattern,
                "has factors in \(found.count) of \(all.count) layers, not in \(listed)\(more); is the file complete?")
        }
    }

    /// A module's name with a star for its layer, and the layer; `nil` when there is no number in it, or several.
    private static func layer(of module: String) -> (pattern: String, layer: Int)? {
        let numbers = module.split(separator: ".").compactMap { Int($0) }
        guard numbers.count == 1 else { return nil }
        return (LayerNames.pattern(of: module), numbers[0])
    }

    /// What stands before the star.
    private static func stack(of pattern: String) -> Substring { pattern.prefix { $0 != "*" } }
}
