import LosslessJSON
import SystemPackage
import Tensors

/// Why an adapter cannot be used, in terms of its files, fields and tensors.
public enum AdapterError: Error, Hashable, Sendable {
    /// The path is no directory.
    case notADirectory(FilePath)
    /// The directory has no `adapter_config.json`; `nearby` are subdirectories that have one.
    case noConfiguration(directory: FilePath, nearby: [String])
    /// The directory has an `adapter_config.json` but no `adapter_model.safetensors` or older file of weights.
    case noWeights(directory: FilePath)
    case malformedJSON(file: FilePath, JSONParseError)
    case configurationTooLarge(file: FilePath, bytes: Int, limit: Int)
    case missingKey(file: FilePath, key: String, expected: String)
    /// A field has the wrong type or range; `key` is `nil` for the whole document.
    case wrongValue(file: FilePath, key: String?, expected: String, found: String)
    case invalidPattern(file: FilePath, key: String, pattern: String)
    /// Another PEFT method than LoRA.
    case unsupportedMethod(file: FilePath, peftType: String)
    case unsupportedFields(file: FilePath, [UnsupportedField])
    case unsupportedTensors(file: FilePath, [UnsupportedTensor])
    /// Tensors that contradict each other or the configuration.
    case inconsistentTensors(file: FilePath, [AdapterTensorProblem])
    /// The file holds no tensor at all.
    case empty(file: FilePath)
    /// The adapter's names are not the model's, and several known rules would make them match; `choices` are such rules.
    case ambiguousNames(adapter: FilePath, example: String, choices: [String])
    /// A rule for names that has no effect, or makes two names one.
    case unusableRename(adapter: FilePath, rule: String, reason: String)
    /// Adapters that cannot be made one.
    case uncombinable(adapters: [FilePath], reason: String)
    /// A factor has a value that is NaN or infinite.
    case nonFinite(file: FilePath, tensor: String, index: Int)
    /// Changes that do not fit the model; `count` is how many the adapter has in all.
    case unmatched(adapter: FilePath, count: Int, [LoRAMatchProblem])
}

/// A field of `adapter_config.json` that changes the merge in a way that is not supported.
public struct UnsupportedField: Hashable, Sendable {
    public let key: String
    /// The field's value as JSON.
    public let found: String
    /// What the field turns on, by PEFT's name.
    public let feature: String
    public let wayOut: String
}

/// A tensor of an adapter that belongs to a feature that is not supported.
public struct UnsupportedTensor: Hashable, Sendable {
    public let name: String
    /// The PEFT feature that makes such tensors.
    public let feature: String
}

/// How a tensor of an adapter contradicts the others or the configuration.
public enum AdapterTensorProblem: Hashable, Sendable {
    /// One factor of a module without the other.
    case missingFactor(present: String, missing: String)
    case encoding(tensor: String, found: Encoding)
    /// A factor that is not [rows, columns] with at least one of each.
    case shape(tensor: String, found: [Int])
    /// lora_A [rank, in] and lora_B [out, rank] of one module with different ranks.
    case ranksDiffer(module: String, a: Int, b: Int)
    /// lora_A [rank, in, kernel…] and lora_B [out, rank / groups, 1…]: a convolution with groups.
    case groups(module: String, a: Int, b: Int)
    /// lora_A and lora_B of more than two dimensions that are no convolution's.
    case noConvolution(module: String, a: [Int], b: [Int])
    /// Factors of experts whose rows are no multiple of any rank that the configuration gives the parameter.
    case unexpectedExpertRank(module: String, found: Int, expected: [String])
    /// What PEFT does not put on a parameter that is no module's weight: magnitudes, a bias of lora_B.
    case notOnParameters(tensor: String)
    /// A rank that is not the one that the configuration's `source` gives the module.
    case unexpectedRank(module: String, expected: Int, found: Int, source: String)
    /// A tensor that a field of the configuration turns on, and that is there although the field is off.
    case unannounced(tensor: String, field: String)
    /// A vector, such as DoRA's magnitudes, of another shape than the module asks for.
    case vectorShape(tensor: String, expected: [Int], found: [Int])
    /// Two tensors that stand for the same thing.
    case repeated(first: String, second: String)
    /// Trained rows that are not as many as `trainable_token_indices` names.
    case rowCount(tensor: String, expected: Int, found: [Int])
    /// `trainable_token_indices` names a row twice.
    case repeatedIndices(tensor: String)
    /// A module that the configuration leaves out.
    case unwantedModule(module: String, ModuleObjection)
}

extension AdapterTensorProblem {
    /// The module or the tensor that the problem is about.
    public var subject: String {
        switch self {
        case .missingFactor(let tensor, _), .encoding(let tensor, _), .shape(let tensor, _),
            .unannounced(let tensor, _), .vectorShape(let tensor, _, _), .repeated(_, let tensor),
            .rowCount(let tensor, _, _), .repeatedIndices(let tensor):
            tensor
        case .notOnParameters(let tensor): tensor
        case .ranksDiffer(let module, _, _), .unexpectedRank(let module, _, _, _), .unwantedModule(let module, _),
            .groups(let module, _, _), .noConvolution(let module, _, _), .unexpectedExpertRank(let module, _, _):
            module
        }
    }
}
