import SystemPackage
import Tensors

/// The tensors of one module's low-rank update in an adapter's file.
struct ModuleTensors {
    /// A tensor of the file.
    struct Entry {
        let index: Int
        let tensor: LogicalTensor
    }

    let module: String
    private let entries: [FactorRole: Entry]

    subscript(role: FactorRole) -> Entry? { entries[role] }

    /// Brings together what belongs to each module of a file, in the file's order.
    ///
    /// - Throws: ``AdapterError/unsupportedTensors(file:_:)`` for anything that is no part of a low-rank update.
    static func collect(from tensors: [LogicalTensor], file: FilePath) throws(AdapterError) -> [ModuleTensors] {
        guard !tensors.isEmpty else { throw .empty(file: file) }
        var entries: [String: [FactorRole: Entry]] = [:]
        var order: [String] = []
        var unsupported: [UnsupportedTensor] = []
        for (index, tensor) in tensors.enumerated() {
            switch AdapterTensorName(tensor.name) {
            case .factor(let module, let role):
                if entries[module] == nil { order.append(module) }
                entries[module, default: [:]][role] = Entry(index: index, tensor: tensor)
            case .unsupported(let feature):
                unsupported.append(UnsupportedTensor(name: tensor.name, feature: feature))
            }
        }
        guard unsupported.isEmpty else { throw .unsupportedTensors(file: file, unsupported) }
        return order.map { ModuleTensors(module: $0, entries: entries[$0] ?? [:]) }
    }

    /// The module as its tensors and the configuration describe it.
    ///
    /// - Throws: ``AdapterTensorProblems`` saying how they contradict each other.
    func described(by rules: ModuleRules) throws(AdapterTensorProblems) -> LoRAModule {
        let parameter = parameter(under: rules)
        if parameter == nil, let objection = rules.objection(to: module) {
            throw AdapterTensorProblems(.unwantedModule(module: module, objection))
        }
        let (a, b) = try factors()
        let malformed = entries.values.sorted { $0.index < $1.index }.compactMap { problem(of: $0) }
        guard malformed.isEmpty else { throw AdapterTensorProblems(malformed) }
        let kernel = try kernel(a, b)
        let rank = a.tensor.shape[0]
        guard rank == b.tensor.shape[1] else {
            throw AdapterTensorProblems(
                kernel.isEmpty
                    ? .ranksDiffer(module: module, a: rank, b: b.tensor.shape[1])
                    : .groups(module: module, a: rank, b: b.tensor.shape[1]))
        }
        let outFeatures = b.tensor.shape[0]
        if let parameter {
            return try described(as: parameter, a, b)
        }
        let expected = rules.rank(of: module)
        guard rank == expected.rank else {
            throw AdapterTensorProblems(
                .unexpectedRank(module: module, expected: expected.rank, found: rank, source: expected.source))
        }
        // The magnitudes of a convolution are [1, out, 1…].
        let ones = kernel.map { _ in 1 }
        try check(
            .magnitude, isOn: rules.usesDoRA, field: "use_dora",
            shape: kernel.isEmpty ? [outFeatures] : [1, outFeatures] + ones)
        try check(.bias, isOn: rules.hasLoRABias, field: "lora_bias", shape: [outFeatures])
        return LoRAModule(
            name: module, kind: kernel.isEmpty ? .linear : .convolution(kernel: kernel), rank: rank,
            inFeatures: a.tensor.shape[1], outFeatures: outFeatures,
            alpha: rules.alpha(of: module), scaling: rules.scaling(of: module, rank: rank),
            isStoredInOut: rules.fanInFanOut && kernel.isEmpty,
            tensors: LoRAModule.Tensors(
                a: a.index, b: b.index, magnitude: self[.magnitude]?.index, bias: self[.bias]?.index))
    }

    /// The size of a convolution's kernel; empty for matrices.
    ///
    /// A convolution's lora_A is [r, in, kernel…], and its lora_B [out, r, 1…].
    private func kernel(_ a: Entry, _ b: Entry) throws(AdapterTensorProblems) -> [Int] {
        for factor in [a, b] {
            let shape = factor.tensor.shape
            guard (2...5).contains(shape.count), !shape.contains(0) else {
                throw AdapterTensorProblems(.shape(tensor: factor.tensor.name, found: shape))
            }
        }
        let kernel = Array(a.tensor.shape.dropFirst(2))
        guard b.tensor.shape.dropFirst(2).elementsEqual(kernel.map { _ in 1 }) else {
            throw AdapterTensorProblems(.noConvolution(module: module, a: a.tensor.shape, b: b.tensor.shape))
        }
        return kernel
    }

    /// The parameter that the factors belong to; `nil` when they belong to a module's weight.
    private func parameter(under rules: ModuleRules) -> WrappedParameter? {
        let (owner, depth) = WrappedParameter.split(module)
        let targets = rules.targets(on: owner)
        guard depth > 0 || !targets.isEmpty && rules.isTargeted(module) != true else { return nil }
        return targets.isEmpty ? nil : WrappedParameter(owner: owner, depth: depth, targets: targets)
    }

    private func described(
        as parameter: WrappedParameter, _ a: Entry, _ b: Entry
    ) throws(AdapterTensorProblems) -> LoRAModule {
        guard a.tensor.shape.count == 2 else {
            throw AdapterTensorProblems(.shape(tensor: a.tensor.name, found: a.tensor.shape))
        }
        // PEFT refuses to put these on a parameter.
        for role in [FactorRole.magnitude, .bias] {
            guard let entry = self[role] else { continue }
            throw AdapterTensorProblems(.notOnParameters(tensor: entry.tensor.name))
        }
        let rank = a.tensor.shape[0]
        guard let target = parameter.targets.first(where: { rank.isMultiple(of: $0.rank) }) else {
            throw AdapterTensorProblems(
                .unexpectedExpertRank(
                    module: module, found: rank,
                    expected: parameter.targets.map { ($0.rank, $0.rankSource) }
                        .map { "\($0) (\($1) in adapter_config.json)" }))
        }
        return LoRAModule(
            name: module, kind: .parameter(parameter), rank: rank, inFeatures: a.tensor.shape[1],
            outFeatures: b.tensor.shape[0], alpha: target.alpha, scaling: target.scaling, isStoredInOut: false,
            tensors: LoRAModule.Tensors(a: a.index, b: b.index, magnitude: nil, bias: nil))
    }

    private func factors() throws(AdapterTensorProblems) -> (a: Entry, b: Entry) {
        switch (self[.a], self[.b]) {
        case (let a?, let b?): return (a, b)
        case (_, nil): throw missing(.b)
        case (nil, _): throw missing(.a)
        }
    }

    private func missing(_ role: FactorRole) -> AdapterTensorProblems {
        let present = entries.values.min { $0.index < $1.index }?.tensor.name ?? module
        return AdapterTensorProblems(
            .missingFactor(present: present, missing: AdapterTensorName.full(module: module, role)))
    }

    private func problem(of entry: Entry) -> AdapterTensorProblem? {
        let tensor = entry.tensor
        guard let dtype = tensor.encoding.denseDType, [.f32, .f16, .bf16].contains(dtype) else {
            return .encoding(tensor: tensor.name, found: tensor.encoding)
        }
        return nil
    }

    /// A vector that a field of the configuration asks for must be there, and must not be there without it.
    private func check(
        _ role: FactorRole, isOn: Bool, field: String, shape: [Int]
    ) throws(AdapterTensorProblems) {
        guard let entry = self[role] else {
            guard isOn else { return }
            throw missing(role)
        }
        guard isOn else { throw AdapterTensorProblems(.unannounced(tensor: entry.tensor.name, field: field)) }
        guard entry.tensor.shape == shape else {
            throw AdapterTensorProblems(
                .vectorShape(tensor: entry.tensor.name, expected: shape, found: entry.tensor.shape))
        }
    }
}

/// What is wrong with the tensors of one module.
struct AdapterTensorProblems: Error {
    let all: [AdapterTensorProblem]

    init(_ all: [AdapterTensorProblem]) { self.all = all }
    init(_ problem: AdapterTensorProblem) { all = [problem] }
}
