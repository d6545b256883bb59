import SystemPackage
import Tensors

/// Why two models cannot be compared as asked, other than what is wrong with one of them
/// (``Checkpoints/CheckpointError``, ``Adapters/AdapterError``).
public enum ComparisonError: Error, Hashable, Sendable {
    /// A `--map` rule that cannot be read.
    case invalidRule(RenameRuleError)
    /// A `--map` rule that changes no name in either model; `example` is a name that it was tried on.
    case idleRule(text: String, example: String)
    /// Two tensors of one model that get the same name.
    case ambiguousNames(model: FilePath, first: String, second: String, name: String)
    /// A pattern that matches no tensor of either model.
    case idlePattern(text: String, example: String)
    /// The patterns, which each match something, together leave no tensor.
    case nothingSelected(include: [String], exclude: [String])
    /// An adapter is measured against a model, not against another adapter.
    case adapterAsBase(FilePath)
    /// A model and an adapter have nothing in common.
    case differentKinds(model: FilePath, adapter: FilePath)
    /// The adapter does more than add to the weights of a, so that there is no update to look for in b.
    case notAdditive(adapter: FilePath, tensor: String, feature: String)
    case notEnoughMemory(given: Int, needed: Int)
}

extension ComparisonError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .invalidRule(let error): "--map \(error)"
        case .idleRule(let text, let example):
            "--map \"\(text)\": changes no tensor's name in either model; names look like \"\(example)\""
        case .ambiguousNames(let model, let first, let second, let name):
            "\(model): \"\(first)\" and \"\(second)\" both become \"\(name)\"; make the --map rule more specific"
        case .idlePattern(let text, let example):
            "the pattern \"\(text)\" matches no tensor of either model; patterns are compared to whole names such as \"\(example)\", and * stands for any characters"
        case .nothingSelected(let include, let exclude):
            "with \(include.isEmpty ? "" : "--include \(ComparisonError.list(include)) and ")--exclude \(ComparisonError.list(exclude)) no tensor is left to compare; change or drop a pattern"
        case .adapterAsBase(let path):
            "\(path): is an adapter; --adapter measures what became of an adapter in two models: give the base model first and the merged model second"
        case .differentKinds(let model, let adapter):
            "\(adapter): is an adapter and \(model) a model; compare two models and give the adapter with --adapter, or compare two adapters"
        case .notAdditive(let adapter, let tensor, let feature):
            "\(adapter): \(tensor) is changed by \(feature), which is no sum of base and update, and only a sum can be looked for; merge the adapter with \"dequantize-merge\" into a model in f32 and compare with that"
        case .notEnoughMemory(let given, let needed):
            "--memory: \(given) bytes are not enough for this comparison; give it at least \((needed + (1 << 20) - 1) >> 20)MiB"
        }
    }

    private static func list(_ patterns: [String]) -> String {
        patterns.map { "\"\($0)\"" }.joined(separator: ", ")
    }
}
