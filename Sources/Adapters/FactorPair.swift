import SystemPackage
import Tensors

/// The two tensors of one module in an adapter's file.
struct FactorPair {
    struct Factor {
        let index: Int
        let tensor: LogicalTensor
    }

    let module: String
    /// lora_A, [rank, in].
    let a: Factor
    /// lora_B, [out, rank].
    let b: Factor

    /// Pairs the tensors of a file, in its order.
    ///
    /// - Throws: ``AdapterError/unsupportedTensors(file:_:)`` for anything but factors, and
    ///   ``AdapterError/inconsistentTensors(file:_:)`` for a factor that stands alone.
    static func collect(from tensors: [LogicalTensor], file: FilePath) throws(AdapterError) -> [FactorPair] {
        guard !tensors.isEmpty else { throw .empty(file: file) }
        var factorsA: [String: Factor] = [:]
        var factorsB: [String: Factor] = [:]
        var order: [String] = []
        var unsupported: [UnsupportedTensor] = []
        for (index, tensor) in tensors.enumerated() {
            let factor = Factor(index: index, tensor: tensor)
            switch AdapterTensorName(tensor.name) {
            case .factorA(let module):
                if factorsB[module] == nil { order.append(module) }
                factorsA[module] = factor
            case .factorB(let module):
                if factorsA[module] == nil { order.append(module) }
                factorsB[module] = factor
            case .unsupported(let feature):
                unsupported.append(UnsupportedTensor(name: tensor.name, feature: feature))
            }
        }
        guard unsupported.isEmpty else { throw .unsupportedTensors(file: file, unsupported) }

        var alone: [AdapterTensorProblem] = []
        var pairs: [FactorPair] = []
        for module in order {
            switch (factorsA[module], factorsB[module]) {
            case (let a?, let b?): pairs.append(FactorPair(module: module, a: a, b: b))
            case (let a?, nil):
                let missing = AdapterTensorName.full(module: module, suffix: AdapterTensorName.suffixB)
                alone.append(.missingFactor(present: a.tensor.name, missing: missing))
            case (nil, let b?):
                let missing = AdapterTensorName.full(module: module, suffix: AdapterTensorName.suffixA)
                alone.append(.missingFactor(present: b.tensor.name, missing: missing))
            case (nil, nil): continue
            }
        }
        guard alone.isEmpty else { throw .inconsistentTensors(file: file, alone) }
        return pairs
    }

    /// How the pair contradicts itself or the configuration.
    func problems(under rules: ModuleRules) -> [AdapterTensorProblem] {
        if let objection = rules.objection(to: module) { return [.unwantedModule(module: module, objection)] }
        let malformed = [a, b].compactMap { factor -> AdapterTensorProblem? in
            let tensor = factor.tensor
            guard let dtype = tensor.encoding.denseDType, [.f32, .f16, .bf16].contains(dtype) else {
                return .encoding(tensor: tensor.name, found: tensor.encoding)
            }
            guard tensor.shape.count == 2, tensor.shape.allSatisfy({ $0 > 0 }) else {
                return .shape(tensor: tensor.name, found: tensor.shape)
            }
            return nil
        }
        guard malformed.isEmpty else { return malformed }
        let rank = a.tensor.shape[0]
        guard rank == b.tensor.shape[1] else {
            return [.ranksDiffer(module: module, a: rank, b: b.tensor.shape[1])]
        }
        let expected = rules.rank(of: module)
        guard rank == expected.rank else {
            return [.unexpectedRank(module: module, expected: expected.rank, found: rank, source: expected.source)]
        }
        return []
    }
}
