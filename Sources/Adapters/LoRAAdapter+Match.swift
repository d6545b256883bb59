import Checkpoints
import Tensors

/// A change of an adapter and the tensor of the base model that it concerns.
public struct AdapterMatch: Hashable, Sendable {
    /// Index into ``LoRAAdapter/changes``.
    public let change: Int
    /// Index into the tensors that were matched.
    public let tensor: Int
    /// What the tensor takes of the factors; `nil` for a change without factors.
    public let placement: FactorPlacement?
}

/// Why a change of an adapter does not fit a model.
public enum LoRAMatchProblem: Hashable, Sendable {
    /// The model has no such tensor; `closest` are names in it that end alike, or the first of its names where none do.
    case noTensor(name: String, closest: [String])
    /// The adapter adds to a bias (`lora_bias`), and the module has none in the model.
    case noBias(module: String)
    /// The tensor has another shape than the change; `fitsTransposed` tells that it has the transposed one.
    case shape(name: String, expected: [Int], found: [Int], fitsTransposed: Bool)
    /// A square weight of an adapter whose other weights are not stored as the configuration says.
    case unclearOrientation(name: String, shape: [Int], storedInOut: Bool)
    /// A module has factors for another number of parameters than `target_parameters` names on it.
    case parameterCount(owner: String, factors: Int, parameters: [String])
    /// No factors of the module fit a parameter; `factors` are [rows of lora_A, in, out] of each.
    case parameterShape(name: String, found: [Int], rank: Int, rankSource: String, factors: [[Int]])
    /// Parameters of one shape, whose factors cannot be told apart.
    case sameShapes(parameters: [String])
    /// Square experts of a model whose class is not known: [experts, out, in] and [experts, in, out] look the same.
    case unknownOrientation(parameters: [String])
    /// Square experts in an adapter of a PEFT that took all experts for [experts, in, out].
    case oldOrientation(parameters: [String])
    /// The weight is no matrix.
    case notAMatrix(name: String, found: [Int])
    /// The tensor's elements are no floating-point numbers.
    case notFloatingPoint(name: String, found: DType)
}

extension LoRAAdapter {
    /// Finds the tensors of every change among a model's tensors.
    ///
    /// - Parameter orientation: What is known of the model's classes.
    /// - Returns: The matches in the order of ``changes``; a change of fused experts has several where the model has a
    ///   tensor for each.
    /// - Throws: ``AdapterError/unmatched(adapter:count:_:)`` with every change that fits no tensor.
    public func match(
        to tensors: [LogicalTensor], orientation: WeightOrientation = WeightOrientation(config: nil)
    ) throws(AdapterError) -> [AdapterMatch] {
        let (matches, problems) = examineMatch(to: tensors, orientation: orientation)
        guard problems.isEmpty else {
            throw .unmatched(adapter: directory, count: changes.count, problems)
        }
        return matches
    }

    /// Finds the tensors of the changes that fit a model, and what is wrong with the others.
    public func examineMatch(
        to tensors: [LogicalTensor], orientation: WeightOrientation
    ) -> (matches: [AdapterMatch], problems: [LoRAMatchProblem]) {
        AdapterMatcher(adapter: self, tensors: tensors, orientation: orientation).examine()
    }
}

extension LoRAMatchProblem {
    /// The tensor of the base model, or the module, that the problem is about.
    public var subject: String {
        switch self {
        case .noTensor(let name, _), .shape(let name, _, _, _), .notAMatrix(let name, _),
            .notFloatingPoint(let name, _), .unclearOrientation(let name, _, _), .parameterShape(let name, _, _, _, _):
            name
        case .noBias(let module), .parameterCount(let module, _, _): module
        case .sameShapes(let parameters), .unknownOrientation(let parameters), .oldOrientation(let parameters):
            parameters.joined(separator: ", ")
        }
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
        case .shape(let name, let expected, let found, fitsTransposed: true):
            return """
                \(name): expected \(expected), found \(found), which is the other way round; 4-bit weights are [out, in] \
                whatever their class, and only a dense Conv1D (as in GPT-2) is [in, out]
                """
        case .shape(let name, let expected, let found, fitsTransposed: false):
            return "\(name): expected \(expected) for what the adapter brings, found \(found)"
        case .unclearOrientation(let name, let shape, let storedInOut):
            return """
                \(name): is square (\(shape)), and other weights of this adapter are not stored as fan_in_fan_out (\(storedInOut)) \
                says, so nothing tells how this one is; give the model with its config.json, or merge with PEFT
                """
        case .parameterCount(let owner, let factors, let parameters):
            return """
                \(owner): the adapter has factors for \(factors) of its parameters, and target_parameters names \
                \(parameters.count) that the model has: \(parameters.joined(separator: ", "))
                """
        case .parameterShape(let name, let found, let rank, let rankSource, let factors):
            let list = factors.map { "lora_A [\($0[0]), \($0[1])] with lora_B [\($0[2]), \($0[0])]" }
            return """
                \(name): \(found) with rank \(rank) (\(rankSource) in adapter_config.json) fits none of the module's factors: \
                \(list.joined(separator: ", "))
                """
        case .sameShapes(let parameters):
            return """
                \(parameters.joined(separator: ", ")): have the same shape, and only the model's class tells which factors \
                belong to which; merge this adapter with PEFT
                """
        case .unknownOrientation(let parameters):
            return """
                \(parameters.joined(separator: ", ")): square experts may be stored [experts, out, in] or [experts, in, out], \
                and only the model's class tells; give the model with its config.json, or merge with PEFT
                """
        case .oldOrientation(let parameters):
            return """
                \(parameters.joined(separator: ", ")): square experts, and the adapter was written by a PEFT before 0.19, which took \
                them for [experts, in, out] though they are [experts, out, in]; merge it with that PEFT
                """
        case .notAMatrix(let name, let found):
            return "\(name): expected a matrix, found \(found)"
        case .notFloatingPoint(let name, let found):
            return "\(name): expected floating-point or 4-bit values, found \(found.rawValue)"
        }
    }
}
