import LosslessJSON

extension ModelConfig {
    /// The config of a model whose layers are copies of this one's.
    ///
    /// `num_hidden_layers` becomes their number, and `layer_types`, which has an entry a layer in some architectures, says of
    /// each copy what it said of the original; in the config of the language model where that is a part of its own.
    ///
    /// - Parameter sources: For each new layer the layer that it is a copy of.
    public func replicatingLayers(_ sources: [Int]) -> ModelConfig {
        if let document = ModelConfig.replicatingLayers(sources, in: json) {
            return document.reduce(self) { $0.setting($1.key, to: $1.value) }
        }
        for part in ["text_config", "llm_config"] {
            guard var nested = json[part], let changes = ModelConfig.replicatingLayers(sources, in: nested) else {
                continue
            }
            for (key, value) in changes { nested[key] = value }
            return setting(part, to: nested)
        }
        return self
    }

    /// The keys to change in a document; `nil` when it does not speak of layers.
    private static func replicatingLayers(
        _ sources: [Int], in document: JSONValue
    ) -> [(key: String, value: JSONValue)]? {
        guard let count = document["num_hidden_layers"]?.int else { return nil }
        var changes: [(key: String, value: JSONValue)] = [("num_hidden_layers", .int(sources.count))]
        if let types = document["layer_types"]?.array, types.count == count, sources.allSatisfy({ $0 < count }) {
            changes.append(("layer_types", .array(sources.map { types[$0] })))
        }
        return changes
    }
}
