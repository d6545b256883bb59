import Tensors

/// A module of an adapter and the tensor of the base model that its update is added to.
public struct LoRAMatch: Hashable, Sendable {
    /// Index into ``LoRAAdapter/modules``.
    public let module: Int
    /// Index into the tensors that were matched.
    public let tensor: Int
}

/// Why a module of an adapter does not fit a model.
public enum LoRAMatchProblem: Hashable, Sendable {
    /// The model has no such weight; `closest` are names in it that end alike, or the first of its names where none do.
    case noTensor(weight: String, closest: [String])
    /// The weight has another shape than the factors' product; `fitsTransposed` tells that the other `fan_in_fan_out`
    /// would do.
    case shape(weight: String, expected: [Int], found: [Int], fanInFanOut: Bool, fitsTransposed: Bool)
    /// The weight is no matrix.
    case notAMatrix(weight: String, found: [Int])
    /// The weight's elements are no floating-point numbers.
    case notFloatingPoint(weight: String, found: DType)
}

extension LoRAAdapter {
    /// Finds the weight of every module among a model's tensors.
    ///
    /// - Returns: One match for each module, in the order of ``modules``.
    /// - Throws: ``AdapterError/unmatched(adapter:moduleCount:_:)`` with every module that fits no tensor.
    public func match(to tensors: [LogicalTensor]) throws(AdapterError) -> [LoRAMatch] {
        let indices = Dictionary(
            tensors.indices.map { (tensors[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
        var matches: [LoRAMatch] = []
        var problems: [LoRAMatchProblem] = []
        for (index, module) in modules.enumerated() {
            guard let tensor = indices[module.weightName] else {
                problems.append(.noTensor(weight: module.weightName, closest: []))
                continue
            }
            if let problem = problem(of: module, with: tensors[tensor]) {
                problems.append(problem)
            } else {
                matches.append(LoRAMatch(module: index, tensor: tensor))
            }
        }
        guard problems.isEmpty else {
            let names = ClosestNames(among: tensors.map(\.name))
            throw .unmatched(
                adapter: directory, moduleCount: modules.count,
                problems.map { problem in
                    guard case .noTensor(let weight, _) = problem else { return problem }
                    return .noTensor(weight: weight, closest: names.closest(to: weight))
                })
        }
        return matches
    }

    private func problem(of module: LoRAModule, with tensor: LogicalTensor) -> LoRAMatchProblem? {
        guard tensor.shape.count == 2 else { return .notAMatrix(weight: tensor.name, found: tensor.shape) }
        if let dtype = tensor.encoding.denseDType, !dtype.isFloatingPoint {
            return .notFloatingPoint(weight: tensor.name, found: dtype)
        }
        let fanInFanOut = configuration.fanInFanOut
        let expected = module.weightShape(fanInFanOut: fanInFanOut)
        guard tensor.shape == expected else {
            return .shape(
                weight: tensor.name, expected: expected, found: tensor.shape, fanInFanOut: fanInFanOut,
                fitsTransposed: tensor.shape == module.weightShape(fanInFanOut: !fanInFanOut))
        }
        return nil
    }
}

extension LoRAMatchProblem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noTensor(let weight, closest: []):
            return "\(weight): the model has no tensors"
        case .noTensor(let weight, let closest):
            return "\(weight): not in the model, which has \(closest.joined(separator: ", "))"
        case .shape(let weight, let expected, let found, let fanInFanOut, fitsTransposed: true):
            let layout = fanInFanOut ? "[in, out]" : "[out, in]"
            let way =
                fanInFanOut
                ? "set fan_in_fan_out to false in adapter_config.json if the weight is stored [out, in] (nn.Linear)"
                : "set fan_in_fan_out to true in adapter_config.json if the weight is stored [in, out] (Conv1D, as in GPT-2)"
            return "\(weight): expected \(expected) (\(layout), as fan_in_fan_out says), found \(found); \(way)"
        case .shape(let weight, let expected, let found, _, fitsTransposed: false):
            return "\(weight): expected \(expected) for the adapter's factors, found \(found)"
        case .notAMatrix(let weight, let found):
            return "\(weight): expected a matrix, found \(found)"
        case .notFloatingPoint(let weight, let found):
            return "\(weight): expected floating-point or 4-bit values, found \(found.rawValue)"
        }
    }
}
