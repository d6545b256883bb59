import Adapters
import Checkpoints
import SystemPackage
import Tensors

/// Whether an adapter fits a base model.
struct BaseChecks {
    let findings: [LintFinding]
    /// A weight of the base that the adapter changes and that fits.
    struct Fit {
        let encoding: Encoding
        /// What the weight takes of the module's factors.
        let placement: FactorPlacement?
    }

    /// Where modules fit, by their names; of a module with several weights the last.
    let fits: [String: Fit]

    /// - Parameter adapter: What could be opened of the adapter.
    init(adapter: LoRAAdapter, examination: AdapterExamination, base: ModelDirectory) {
        var tensors = base.reader.tensors
        var unfitting: [LintFinding] = []
        do throws(LayerReplicationError) {
            tensors = try BaseChecks.replicated(tensors, adapter)
        } catch {
            unfitting = [LintFinding(.unmatched, "layer_replication", "\(error)")]
        }
        var notes: [LintFinding] = []
        let tiedHead = TiedHead(tensors, tiesEmbeddings: base.config?.tiesWordEmbeddings)
        do throws(AdapterError) {
            let names = try adapter.nameFit(to: tensors.map(\.name), headIsTied: tiedHead != nil)
            tensors = names.renamed(tensors)
            notes =
                names.rule.map { [LintFinding(.renamedModules, nil, "its names fit the base by a rule: \($0)")] } ?? []
        } catch {
            unfitting.append(LintFinding(.unmatched, nil, "\(error)"))
        }
        let (matches, problems) = adapter.examineMatch(
            to: tensors, orientation: WeightOrientation(config: base.config),
            tiedHead: tiedHead)
        var fits: [String: Fit] = [:]
        for match in matches {
            guard case .lowRank(let module) = adapter.changes[match.change].kind else { continue }
            fits[adapter.modules[module].name] = Fit(
                encoding: tensors[match.tensor].encoding, placement: match.placement)
        }
        self.fits = fits
        findings =
            unfitting + problems.map { LintFinding(.unmatched, $0.subject, "\($0)") }
            + BaseChecks.foreignQuantization(base)
            + BaseChecks.targetsWithoutFactors(adapter, examination, tensors)
            + BaseChecks.baseName(adapter, base)
            + BaseChecks.embeddings(examination, base, tensors) + notes
    }

    /// The base's tensors as the adapter's names count layers.
    private static func replicated(
        _ tensors: [LogicalTensor], _ adapter: LoRAAdapter
    ) throws(LayerReplicationError) -> [LogicalTensor] {
        let ranges = adapter.configuration.layerReplication
        guard !ranges.isEmpty else { return tensors }
        return try LayerReplication(ranges).applied(to: tensors.map(\.name)).map { name, source in
            LogicalTensor(name: name, shape: tensors[source].shape, encoding: tensors[source].encoding)
        }
    }

    private static func foreignQuantization(_ base: ModelDirectory) -> [LintFinding] {
        guard let foreign = base.foreignQuantization else { return [] }
        return [
            LintFinding(
                .foreignQuantization, nil,
                "the base is quantized with \(foreign.method) (\(foreign.evidence)), which cannot be decoded; give the base in 16 bits or in bitsandbytes' 4 bits"
            )
        ]
    }

    /// Weights of the base that the configuration names and that have no factors.
    private static func targetsWithoutFactors(
        _ adapter: LoRAAdapter, _ examination: AdapterExamination, _ tensors: [LogicalTensor]
    ) -> [LintFinding] {
        switch adapter.configuration.targetModules {
        case nil, .expression("all-linear"): return []
        default: break
        }
        guard let rules = try? ModuleRules(adapter.configuration, file: adapter.directory) else { return [] }
        let present = Set(examination.modulesInFile)
        return tensors.compactMap { tensor in
            guard tensor.shape.count == 2, tensor.name.hasSuffix(".weight") else { return nil }
            let module = String(tensor.name.dropLast(".weight".count))
            guard !present.contains(module), rules.objection(to: module) == nil else { return nil }
            return LintFinding(
                .targetWithoutFactors, module,
                "target_modules names it and the base has it, but the adapter has no factors for it; is the file complete?"
            )
        }
    }

    // MARK: - Names

    private static func baseName(_ adapter: LoRAAdapter, _ base: ModelDirectory) -> [LintFinding] {
        guard let trained = adapter.configuration.baseModelNameOrPath, !trained.isEmpty else { return [] }
        let configured = base.config?.json["_name_or_path"]?.string
        let known = [configured].compactMap(\.self).flatMap { FilePath($0).components.map(\.string) }
        let path =
            (FileSystem.resolved(base.path) ?? base.path).components.map(\.string)
            + base.path.components.map(\.string)
        let candidates = Set((known + path).flatMap(spellings))
        guard candidates.isDisjoint(with: spellings(of: lastComponent(of: trained))) else { return [] }
        let given = configured.flatMap { $0.isEmpty ? nil : lastComponent(of: $0) } ?? path.last ?? base.path.string
        return [
            LintFinding(
                .baseNameMismatch, "base_model_name_or_path",
                "the adapter was trained on \(trained), the base given is \(given); is it the same model?")
        ]
    }

    private static func lastComponent(of name: String) -> String {
        FilePath(name).lexicallyNormalized().lastComponent?.string ?? name
    }

    /// The names that a folder's may stand for: its own, and that of a model in Hugging Face's cache
    /// (`models--org--name`); without what says that it was quantized.
    private static func spellings(of name: String) -> [String] {
        let lowered = name.lowercased()
        let cached =
            lowered.hasPrefix("models--") ? lastComponent(of: lowered.replacing("--", with: "/")) : nil
        return [lowered, cached].compactMap(\.self).flatMap { spelling in
            let bare = quantizations.first { spelling.hasSuffix($0) }.map { String(spelling.dropLast($0.count)) }
            return [spelling, bare].compactMap(\.self)
        }
    }

    private static let quantizations = ["-unsloth-bnb-4bit", "-bnb-4bit", "-4bit", "-nf4", "-bf16", "-fp16"]

    // MARK: - Embeddings

    private static let embeddingNames = ["embed_tokens", "lm_head", "wte", "embed_in", "embed_out", "word_embeddings"]

    private static func embeddings(
        _ examination: AdapterExamination, _ base: ModelDirectory, _ tensors: [LogicalTensor]
    ) -> [LintFinding] {
        let baseTensors = Dictionary(
            tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let isTied =
            base.config?.json["tie_word_embeddings"]?.bool ?? false
            || base.config?.json["text_config"]?["tie_word_embeddings"]?.bool ?? false
        let prefix = "base_model.model."
        var seen: Set<String> = []
        var findings: [LintFinding] = []
        for (tensor, fullName) in zip(examination.tensors, examination.tensorNames) {
            let name = fullName.hasPrefix(prefix) ? String(fullName.dropFirst(prefix.count)) : fullName
            let components = name.split(separator: ".")
            guard let place = components.firstIndex(where: { embeddingNames.contains(String($0)) }) else { continue }
            let module = components[...place].joined(separator: ".")
            if isTied, seen.insert(module).inserted {
                findings.append(
                    LintFinding(
                        .tiedEmbeddings, module,
                        """
                        is changed by the adapter, and the base ties its input and output embeddings \
                        (tie_word_embeddings): a change of one is a change of the other, or unties them
                        """))
            }
            let weight = module + ".weight"
            guard let found = baseTensors[weight], found.shape.count == 2, let rows = vocabulary(of: tensor, name),
                rows != found.shape[0]
            else { continue }
            findings.append(
                LintFinding(
                    .grownVocabulary, tensor.name,
                    "has \(rows) tokens, and \(weight) of the base has \(found.shape[0]): the vocabulary was resized in training"
                ))
        }
        return findings
    }

    /// The tokens that an adapter's tensor of an embedding has values for; `nil` where its shape does not tell.
    private static func vocabulary(of tensor: LogicalTensor, _ name: String) -> Int? {
        guard tensor.shape.count == 2 else { return nil }
        if name.hasSuffix("lora_embedding_A") { return tensor.shape[1] }
        if name.contains("lm_head"), name.hasSuffix("lora_B.weight") { return tensor.shape[0] }
        return name.contains("lora_") || !name.hasSuffix(".weight") ? nil : tensor.shape[0]
    }
}
