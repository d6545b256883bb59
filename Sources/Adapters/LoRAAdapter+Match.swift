import Tensors

/// A change of an adapter and the tensor of the base model that it concerns.
public struct AdapterMatch: Hashable, Sendable {
    /// Index into ``LoRAAdapter/changes``.
    public let change: Int
    /// Index into the tensors that were matched.
    public let tensor: Int
}

/// Why a change of an adapter does not fit a model.
public enum LoRAMatchProblem: Hashable, Sendable {
    /// The model has no such tensor; `closest` are names in it that end alike, or the first of its names where none do.
    case noTensor(name: String, closest: [String])
    /// The adapter adds to a bias (`lora_bias`), and the module has none in the model.
    case noBias(module: String)
    /// The tensor has another shape than the change; `fitsTransposed` tells that the other `fan_in_fan_out` would do.
    case shape(name: String, expected: [Int], found: [Int], storedInOut: Bool, fitsTransposed: Bool)
    /// The weight is no matrix.
    case notAMatrix(name: String, found: [Int])
    /// The tensor's elements are no floating-point numbers.
    case notFloatingPoint(name: String, found: DType)
}

extension LoRAAdapter {
    /// Finds the tensor of every change among a model's tensors.
    ///
    /// - Returns: One match for each change, in the order of ``changes``.
    /// - Throws: ``AdapterError/unmatched(adapter:count:_:)`` with every change that fits no tensor.
    public func match(to tensors: [LogicalTensor]) throws(AdapterError) -> [AdapterMatch] {
        let indices = Dictionary(
            tensors.indices.map { (tensors[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
        var matches: [AdapterMatch] = []
        var problems: [LoRAMatchProblem] = []
        for (index, change) in changes.enumerated() {
            guard let tensor = indices[change.tensorName] else {
                problems.append(absence(of: change))
                continue
            }
            if let problem = problem(of: change, with: tensors[tensor]) {
                problems.append(problem)
            } else {
                matches.append(AdapterMatch(change: index, tensor: tensor))
            }
        }
        guard problems.isEmpty else {
            let names = ClosestNames(among: tensors.map(\.name))
            throw .unmatched(
                adapter: directory, count: changes.count,
                problems.map { problem in
                    guard case .noTensor(let name, _) = problem else { return problem }
                    return .noTensor(name: name, closest: names.closest(to: name))
                })
        }
        return matches
    }

    private func absence(of change: AdapterChange) -> LoRAMatchProblem {
        switch change.kind {
        case .lowRank: .noTensor(name: change.tensorName, closest: [])
        case .bias(let module): .noBias(module: modules[module].name)
        }
    }

    private func problem(of change: AdapterChange, with tensor: LogicalTensor) -> LoRAMatchProblem? {
        if let dtype = tensor.encoding.denseDType, !dtype.isFloatingPoint {
            return .notFloatingPoint(name: tensor.name, found: dtype)
        }
        switch change.kind {
        case .lowRank(let module): return problem(of: modules[module], with: tensor)
        case .bias(let module):
            let expected = [modules[module].outFeatures]
            return tensor.shape == expected
                ? nil
                : .shape(
                    name: tensor.name, expected: expected, found: tensor.shape, storedInOut: false,
                    fitsTransposed: false)
        }
    }

    private func problem(of module: LoRAModule, with tensor: LogicalTensor) -> LoRAMatchProblem? {
        guard tensor.shape.count == 2 else { return .notAMatrix(name: tensor.name, found: tensor.shape) }
        guard tensor.shape != module.weightShape else { return nil }
        return .shape(
            name: tensor.name, expected: module.weightShape, found: tensor.shape, storedInOut: module.isStoredInOut,
            fitsTransposed: tensor.shape == module.weightShape(storedInOut: !module.isStoredInOut))
    }
}

extension LoRAMatchProblem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noTensor(let name, closest: []):
            return "\(name): the model has no tensors"
        case .noTensor(let name, let closest):
            return "\(name): not in the model, which has \(closest.joined(separator: ", "))"
        case .noBias(let module):
            return """
                \(module): lora_bias adds to its bias, and it has none in the model; PEFT cannot merge such an adapter \
                either: serve it unmerged, or give the base model a bias of zeros
                """
        case .shape(let name, let expected, let found, let storedInOut, fitsTransposed: true):
            let layout = storedInOut ? "[in, out]" : "[out, in]"
            let way =
                storedInOut
                ? "set fan_in_fan_out to false in adapter_config.json if the weight is stored [out, in] (nn.Linear)"
                : "set fan_in_fan_out to true in adapter_config.json if the weight is stored [in, out] (Conv1D, as in GPT-2)"
            return "\(name): expected \(expected) (\(layout), as fan_in_fan_out says), found \(found); \(way)"
        case .shape(let name, let expected, let found, _, fitsTransposed: false):
            return "\(name): expected \(expected) for what the adapter brings, found \(found)"
        case .notAMatrix(let name, let found):
            return "\(name): expected a matrix, found \(found)"
        case .notFloatingPoint(let name, let found):
            return "\(name): expected floating-point or 4-bit values, found \(found.rawValue)"
        }
    }
}
