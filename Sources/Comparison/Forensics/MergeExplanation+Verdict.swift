import Reports

extension MergeExplanation {
    /// What to conclude, in plain sentences.
    public var conclusion: String {
        let wrongModules = modules.filter { !$0.outcome.isRight }
        let kinds = MergeOutcome.allCases.filter { outcome in wrong.contains { $0.outcome == outcome } }
        var sentences = [openingSentence(wrongModules)]
        if kinds.count == 1, wrong.count == wrongModules.count {
            // The opening has said what is wrong; where is news unless it is everywhere.
            if wrong.count < modules.count { sentences.append("See \(LayerNames.listed(wrong.map(\.shortName))).") }
        } else {
            sentences += kinds.map { kind in
                let found = wrong.filter { $0.outcome == kind }
                let noun = found.allSatisfy { $0.module != nil } ? "module" : "tensor"
                return "\(counted(found.count, noun)): \(kind.clause) (\(LayerNames.listed(found.map(\.shortName))))."
            }
        }
        sentences += alternativesSentences
        for remedy in kinds.compactMap(\.remedy) where !sentences.contains(remedy) { sentences.append(remedy) }
        let alone = tensors.count { $0.outcome == .onlyInOne }
        if alone > 0 {
            let verb = alone == 1 ? "is" : "are"
            sentences.append(
                "\(counted(alone, "tensor")) \(verb) only in one of the models, which makes no difference.")
        }
        return sentences.joined(separator: " ")
    }

    private func openingSentence(_ wrongModules: [TensorExplanation]) -> String {
        let all = modules.count == 1 ? "the 1 module" : "all \(modules.count) modules"
        guard !wrongModules.isEmpty else {
            guard isRight else { return "The updates are right in \(all), but \(otherTensorsClause)." }
            return "The merge is right: \(all) \(modules.count == 1 ? "holds its" : "hold their") update as configured."
        }
        let extent =
            wrongModules.count == modules.count ? all : "\(wrongModules.count) of \(counted(modules.count, "module"))"
        let outcomes = Set(wrongModules.map(\.outcome))
        if outcomes == [.undecided] { return "Nobody can tell in \(extent): \(MergeOutcome.undecided.clause)." }
        guard outcomes.count == 1, wrong.count == wrongModules.count, let outcome = outcomes.first else {
            return "The merge is wrong in \(extent)."
        }
        return "The merge is wrong in \(extent): \(outcome.clause)."
    }

    /// What is wrong where every module is right.
    private var otherTensorsClause: String {
        let isOfOneModel = wrong.allSatisfy { [.missingTensor, .extraTensor].contains($0.outcome) }
        return isOfOneModel ? "the models do not have the same tensors" : "other tensors changed"
    }

    /// What else would give the same figures.
    private var alternativesSentences: [String] {
        let ambiguous = wrong.filter { !$0.alternatives.isEmpty }
        let alternatives = MergeOutcome.allCases.filter { outcome in
            !ambiguous.isEmpty && ambiguous.allSatisfy { $0.alternatives.contains(outcome) }
        }
        guard !alternatives.isEmpty else { return [] }
        let clauses = alternatives.map(\.clause).joined(separator: "; or ")
        return ["The same figures would come about if \(clauses)."]
    }
}

extension TensorExplanation {
    /// The module's name, else the tensor's.
    fileprivate var shortName: String { module?.name ?? name }
}

extension MergeOutcome {
    /// What happened, to go after a colon.
    var clause: String {
        switch self {
        case .asConfigured: "the update is there as configured"
        case .empty: "the update is zero"
        case .missing: "the update is missing"
        case .doubled: "the update was added twice"
        case .negated: "the update was subtracted in place of added"
        case .unscaled: "the scaling was left out (B·A times 1)"
        case .rsLoRAScaling: "the scaling is alpha/√r, but the configuration says alpha/r (use_rslora is off)"
        case .plainScaling: "the scaling is alpha/r, but the configuration says alpha/√r (use_rslora is on)"
        case .alphaNotDivided: "the scaling is alpha itself, not divided by the rank"
        case .patternsIgnored: "rank_pattern or alpha_pattern was ignored"
        case .scaled: "the update was added with another scaling"
        case .transposed: "the update was added transposed"
        case .otherModule: "the update of another module was added"
        case .erased: "rounding to the nearest value erased the update"
        case .thinned: "rounding to the nearest value thinned the update"
        case .unexplained: "the update alone does not explain the change"
        case .notFinite: "values became NaN or infinite"
        case .undecided: "the rounding noise is too large beside the update"
        case .notComparable: "the two models' tensors cannot be compared"
        case .untouched: "the values are the same"
        case .rounded: "the values were rounded"
        case .changedWithoutUpdate: "changed, though the adapter has no update for it"
        case .onlyInOne: "only one of the models has it"
        case .missingTensor: "the merged model does not have it"
        case .extraTensor: "the base does not have it"
        }
    }

    /// What to do about it, where that is not plain.
    fileprivate var remedy: String? {
        switch self {
        case .erased, .thinned: "Merge in 4 bits with unbiased rounding (merge-in-4bit), or into 16 bits."
        case .unexplained:
            "Was the adapter merged onto another base (16 bits in place of 4 bits), or another adapter besides?"
        case .transposed: "See fan_in_fan_out in adapter_config.json."
        default: nil
        }
    }
}
