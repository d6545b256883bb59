import SystemPackage
import Tensors

/// The tensors of one module's low-rank update in an adapter's file.
struct ModuleTensors {
    typealias Entry = AdapterTensors.Entry

    let module: String
    let entries: [FactorRole: Entry]

    subscript(role: FactorRole) -> Entry? { entries[role] }

    /// The module as its tensors and the configuration describe it.
    ///
    /// - Throws: ``AdapterTensorProblems`` saying how they contradict each other.
    func described(by rules: ModuleRules) throws(AdapterTensorProblems) -> LoRAModule {
        if let objection = rules.objection(to: module) {
            throw AdapterTensorProblems(.unwantedModule(module: module, objection))
        }
        let (kind, a, b) = try factors()
        let malformed = entries.values.sorted { $0.index < $1.index }.compactMap(\.encodingProblem)
        guard malformed.isEmpty else { throw AdapterTensorProblems(malformed) }
        for factor in [a, b] where factor.tensor.shape.count != 2 || factor.tensor.shape.contains(0) {
            throw AdapterTensorProblems(.shape(tensor: factor.tensor.name, found: factor.tensor.shape))
        }
        let rank = a.tensor.shape[0]
        guard rank == b.tensor.shape[1] else {
            throw AdapterTensorProblems(.ranksDiffer(module: module, a: rank, b: b.tensor.shape[1]))
        }
        let expected = rules.rank(of: module)
        guard rank == expected.rank else {
            throw AdapterTensorProblems(
                .unexpectedRank(module: module, expected: expected.rank, found: rank, source: expected.source))
        }
        let outFeatures = b.tensor.shape[0]
        try check(.magnitude, isOn: rules.usesDoRA, field: "use_dora", count: outFeatures)
        try check(.bias, isOn: rules.hasLoRABias && kind == .linear, field: "lora_bias", count: outFeatures)
        return LoRAModule(
            name: module, rank: rank, inFeatures: a.tensor.shape[1], outFeatures: outFeatures,
            alpha: rules.alpha(of: module), scaling: rules.scaling(of: module, rank: rank),
            kind: kind, isStoredInOut: kind == .embedding || rules.fanInFanOut,
            tensors: LoRAModule.Tensors(
                a: a.index, b: b.index, magnitude: self[.magnitude]?.index, bias: self[.bias]?.index))
    }

    private func factors() throws(AdapterTensorProblems) -> (kind: LoRAModule.Kind, a: Entry, b: Entry) {
        let isEmbedding = self[.embeddingA] != nil || self[.embeddingB] != nil
        if isEmbedding, let factor = self[.a] ?? self[.b], let other = self[.embeddingA] ?? self[.embeddingB] {
            throw AdapterTensorProblems(.repeated(first: other.tensor.name, second: factor.tensor.name))
        }
        let roles: (a: FactorRole, b: FactorRole) = isEmbedding ? (.embeddingA, .embeddingB) : (.a, .b)
        guard let a = self[roles.a] else { throw missing(roles.a) }
        guard let b = self[roles.b] else { throw missing(roles.b) }
        return (isEmbedding ? .embedding : .linear, a, b)
    }

    private func missing(_ role: FactorRole) -> AdapterTensorProblems {
        let present = entries.values.min { $0.index < $1.index }?.tensor.name ?? module
        return AdapterTensorProblems(
            .missingFactor(present: present, missing: AdapterTensorName.full(module: module, role)))
    }

    /// A vector that a field of the configuration asks for must be there, and must not be there without it.
    private func check(_ role: FactorRole, isOn: Bool, field: String, count: Int) throws(AdapterTensorProblems) {
        guard let entry = self[role] else {
            guard isOn else { return }
            throw missing(role)
        }
        guard isOn else { throw AdapterTensorProblems(.unannounced(tensor: entry.tensor.name, field: field)) }
        guard entry.tensor.shape == [count] else {
            throw AdapterTensorProblems(
                .vectorShape(tensor: entry.tensor.name, expected: [count], found: entry.tensor.shape))
        }
    }
}

/// What is wrong with the tensors of one module.
struct AdapterTensorProblems: Error {
    let all: [AdapterTensorProblem]

    init(_ all: [AdapterTensorProblem]) { self.all = all }
    init(_ problem: AdapterTensorProblem) { all = [problem] }
}
