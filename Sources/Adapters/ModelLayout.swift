/// One way in which checkpoints and classes of one model call its parts: the same layer is `model.layers.0` in a text
/// model, `model.language_model.layers.0` inside a multi-modal one, and `language_model.model.layers.0` in one of before
/// transformers 4.52.
struct ModelLayout: Hashable {
    /// What stands before the parts of the text model.
    let text: String
    /// What stands before `lm_head`.
    var head = ""
    /// What stands before the other parts (`visual`, `multi_modal_projector`).
    var tower = ""

    private static let towers: Set<Substring> = [
        "visual", "vision_tower", "vision_model", "multi_modal_projector", "connector", "audio_tower", "embed_vision",
        "embed_audio",
    ]

    /// Layouts that a name may be moved between, and the first components of the text model's parts in them.
    static let families: [(parts: Set<Substring>, layouts: [ModelLayout])] = [
        (
            ["layers", "embed_tokens", "norm"],
            [
                ModelLayout(text: "model."),
                ModelLayout(text: "model.language_model.", tower: "model."),
                ModelLayout(text: "language_model.model.", head: "language_model."),
                ModelLayout(text: "language_model."),
                ModelLayout(text: "model.text_model.", tower: "model."),
                ModelLayout(text: "thinker.model.", head: "thinker.", tower: "thinker."),
                ModelLayout(text: ""),
            ]
        ),
        (
            ["h", "wte", "wpe", "ln_f", "word_embeddings", "blocks"],
            [ModelLayout(text: "transformer."), ModelLayout(text: "")]
        ),
        (["layers", "embed_in", "final_layer_norm"], [ModelLayout(text: "gpt_neox."), ModelLayout(text: "")]),
        (["decoder"], [ModelLayout(text: "model."), ModelLayout(text: "")]),
        (
            ["encoder", "embeddings", "pooler"],
            [ModelLayout(text: "bert."), ModelLayout(text: "roberta."), ModelLayout(text: "")]
        ),
    ]

    /// A tensor's name in another layout; `nil` for a name that this one does not have.
    func moved(_ name: String, to other: ModelLayout, parts: Set<Substring>) -> String? {
        if let rest = ModelLayout.rest(of: name, after: text, beginsWith: parts) { return other.text + rest }
        if let rest = ModelLayout.rest(of: name, after: head, beginsWith: ["lm_head"]) { return other.head + rest }
        if let rest = ModelLayout.rest(of: name, after: tower, beginsWith: ModelLayout.towers) {
            return other.tower + rest
        }
        return nil
    }

    /// The name of the output head's weight in a model that has an embedding of this name.
    static func headName(besides embedding: String) -> String {
        let layouts = families.flatMap { family in
            family.layouts.filter { rest(of: embedding, after: $0.text, beginsWith: family.parts) != nil }
        }
        let isNeoX = embedding.split(separator: ".").contains("embed_in")
        return (layouts.first?.head ?? "") + (isNeoX ? "embed_out.weight" : "lm_head.weight")
    }

    private static func rest(of name: String, after prefix: String, beginsWith parts: Set<Substring>) -> Substring? {
        guard name.hasPrefix(prefix) else { return nil }
        let rest = name.dropFirst(prefix.count)
        return parts.contains(rest.prefix { $0 != "." }) ? rest : nil
    }
}
