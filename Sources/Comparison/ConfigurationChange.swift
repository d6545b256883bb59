import LosslessJSON
import Tensors

/// A key of two configurations that has not the same value in both.
public struct ConfigurationChange: Hashable, Sendable {
    /// The key; of nested objects all keys on the way, joined by dots.
    public let key: String
    /// The value in a; `nil` when it is not there.
    public let a: JSONValue?
    /// The value in b; `nil` when it is not there.
    public let b: JSONValue?

    /// Whether the key tells how and by what the model was stored, not what it computes.
    public var isAboutStorage: Bool {
        let keys = key.split(separator: ".")
        return keys.contains { ConfigurationChange.storageKeys.contains(String($0)) }
    }

    private static let storageKeys: Set<String> = [
        "quantization_config", "compression_config", "dtype", "torch_dtype", "transformers_version", "_name_or_path",
        "base_model_name_or_path", "peft_version", "inference_mode", "revision",
    ]

    /// The lists of PEFT's `LoraConfig` whose order says nothing. Some of them it holds as sets, and so writes them in another order
    /// each time.
    private static let unorderedKeys: Set<String> = [
        "target_modules", "exclude_modules", "modules_to_save", "layers_to_transform", "target_parameters",
    ]

    /// The differences between two configurations, in the order of a, then those that only b has. None when one of them is
    /// missing: a file of weights alone has nothing to say.
    static func list(_ a: JSONValue?, _ b: JSONValue?, of kind: ComparedModel.Kind) -> [ConfigurationChange] {
        guard let a, let b else { return [] }
        let changes = changes(a, b, path: [])
        guard kind == .adapter else { return changes }
        return changes.filter { !unorderedKeys.contains($0.key) || !hasSameElements($0.a, $0.b) }
    }

    /// Whether two lists hold the same, in whatever order and however often.
    private static func hasSameElements(_ a: JSONValue?, _ b: JSONValue?) -> Bool {
        guard let left = a?.array, let right = b?.array else { return false }
        return Set(left) == Set(right)
    }

    static func list(metadata a: [String: String], _ b: [String: String]) -> [ConfigurationChange] {
        Set(a.keys).union(b.keys).sorted { $0.precedesByBytes($1) }.compactMap { key in
            guard a[key] != b[key] else { return nil }
            return ConfigurationChange(
                key: key, a: a[key].map { .string($0) }, b: b[key].map { .string($0) })
        }
    }

    private static func changes(_ a: JSONValue?, _ b: JSONValue?, path: [String]) -> [ConfigurationChange] {
        if let left = a?.object, let right = b?.object {
            let keys = left.keys + right.keys.filter { left[$0] == nil }
            return keys.flatMap { changes(left[$0], right[$0], path: path + [$0]) }
        }
        guard !isSame(a, b) else { return [] }
        return [ConfigurationChange(key: path.joined(separator: "."), a: a, b: b)]
    }

    /// A key that is null and one that is not there say the same; so do 1e-06 and 0.000001.
    private static func isSame(_ a: JSONValue?, _ b: JSONValue?) -> Bool {
        switch (a ?? .null, b ?? .null) {
        case (.number(let left), .number(let right)): left == right || left.double == right.double
        case (.array(let left), .array(let right)):
            left.count == right.count && zip(left, right).allSatisfy { isSame($0, $1) }
        case (.object(let left), .object(let right)):
            Set(left.keys).union(right.keys).allSatisfy { isSame(left[$0], right[$0]) }
        case (let left, let right): left == right
        }
    }
}
