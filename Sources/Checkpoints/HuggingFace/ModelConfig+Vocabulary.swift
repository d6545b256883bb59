import LosslessJSON
import Tensors

extension ModelConfig {
    /// Whether the output head's weight is the input embedding (`tie_word_embeddings`); `nil` when the config does not say.
    public var tiesWordEmbeddings: Bool? { ModelConfig.tiesWordEmbeddings(in: json) }

    /// The same of a document.
    public static func tiesWordEmbeddings(in json: JSONValue) -> Bool? {
        let places = [json] + ModelConfig.nestedConfigs.compactMap { json[$0] }
        return places.lazy.compactMap { $0["tie_word_embeddings"]?.bool }.first
    }

    /// The config of a model whose embeddings have become others: with the right `vocab_size`, and not tied when the head
    /// has a weight of its own now.
    ///
    /// - Parameter original: The tensors that this config came with.
    func describingVocabulary(_ tensors: [LogicalTensor], original: [LogicalTensor]) -> ModelConfig {
        var config = self
        let before = Dictionary(original.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let resized = tensors.lazy.filter { TokenMatrix($0) != nil }.compactMap { tensor in
            before[tensor.name].map { (before: $0.shape[0], after: tensor.shape[0]) }
        }
        if let (old, new) = resized.first(where: { $0.before != $0.after }) {
            config = config.replacing("vocab_size", where: { $0.int == old }, by: .int(new))
        }
        let hasNewHead = tensors.contains { TokenMatrix($0) == .head && before[$0.name] == nil }
        if hasNewHead, original.contains(where: { TokenMatrix($0) == .embedding }) {
            config = config.replacing("tie_word_embeddings", where: { _ in true }, by: false)
        }
        return config
    }

    /// Sets a key wherever it has a value of a kind, also in the configs of a multi-modal model's parts; where it has none, at
    /// the top.
    private func replacing(_ key: String, where isMeant: (JSONValue) -> Bool, by value: JSONValue) -> ModelConfig {
        var copy = self
        var found = false
        if let old = json[key], isMeant(old) {
            copy = copy.setting(key, to: value)
            found = true
        }
        for name in ModelConfig.nestedConfigs {
            guard var nested = copy.json[name], let old = nested[key], isMeant(old) else { continue }
            nested[key] = value
            copy = copy.setting(name, to: nested)
            found = true
        }
        return found ? copy : copy.setting(key, to: value)
    }
}
