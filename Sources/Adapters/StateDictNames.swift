/// Names of an adapter's tensors that are not quite those of `save_pretrained`, brought to them: what a state dict is
/// called that was saved in another way.
///
/// Each rule is for all names or for none; names that fit no rule stay as they are, and are then refused by name.
/// `formats/peft-lora.md` lists the rules.
struct StateDictNames {
    /// The names as `save_pretrained` would have written them.
    private(set) var names: [String]
    /// The rules that were used, in words.
    private(set) var rules: [String] = []

    private static let prefix = "base_model.model."
    /// What torch.compile, FSDP and activation checkpointing put into the paths of modules.
    private static let wrappers: Set<Substring> = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"]

    init(_ names: [String]) {
        self.names = names
        removeWrappers()
        removeParallelPrefix()
        removeDoubledPrefix()
        addMissingPrefix()
        removeAdapterName()
    }

    /// Takes new names if they are different and still unique.
    private mutating func take(_ new: [String], rule: String) {
        guard new != names, Set(new).count == new.count else { return }
        names = new
        rules.append(rule)
    }

    private mutating func removeWrappers() {
        // A look at every byte is much less than taking every name apart.
        guard names.contains(where: StateDictNames.mayHaveWrapper) else { return }
        var found: Set<Substring> = []
        let new = names.map { name in
            let parts = name.split(separator: ".", omittingEmptySubsequences: false)
            found.formUnion(StateDictNames.wrappers.intersection(parts))
            return parts.filter { !StateDictNames.wrappers.contains($0) }.joined(separator: ".")
        }
        take(new, rule: "without \(found.sorted().joined(separator: ", "))")
    }

    /// Whether a component begins as all wrappers' names do.
    private static func mayHaveWrapper(_ name: String) -> Bool {
        var previous = UInt8(ascii: ".")
        for byte in name.utf8 {
            if previous == UInt8(ascii: "."), byte == UInt8(ascii: "_") { return true }
            previous = byte
        }
        return false
    }

    private mutating func removeParallelPrefix() {
        guard names.allSatisfy({ $0.hasPrefix("module." + StateDictNames.prefix) }) else { return }
        take(names.map { String($0.dropFirst("module.".count)) }, rule: "without module. (DDP or DeepSpeed)")
    }

    private mutating func removeDoubledPrefix() {
        let doubled = StateDictNames.prefix + StateDictNames.prefix
        guard names.allSatisfy({ $0.hasPrefix(doubled) }) else { return }
        take(
            names.map { String($0.dropFirst(StateDictNames.prefix.count)) },
            rule: "with one \(StateDictNames.prefix) in place of two")
    }

    private mutating func addMissingPrefix() {
        let isMissing = names.allSatisfy { name in
            !name.hasPrefix("base_model.") && AdapterNamePlace(in: name) != nil
        }
        guard isMissing else { return }
        take(names.map { StateDictNames.prefix + $0 }, rule: "with \(StateDictNames.prefix) before them")
    }

    /// Removes the adapter's name from `.lora_A.default.weight`, if all tensors have the same.
    private mutating func removeAdapterName() {
        guard let adapter = names.first.flatMap(AdapterNamePlace.init(in:))?.adapter else { return }
        let places = names.map(AdapterNamePlace.init(in:))
        guard places.allSatisfy({ $0?.adapter == adapter }) else { return }
        take(
            zip(names, places).map { $1?.nameWithoutAdapter ?? $0 },
            rule: "without the adapter's name \"\(adapter)\"")
    }
}

/// Where a tensor's name says what it is to the adapter, and which adapter it belongs to.
private struct AdapterNamePlace {
    /// The adapter's name; `nil` where there is none, as `save_pretrained` writes it.
    let adapter: String?
    let nameWithoutAdapter: String

    private static let roles: Set<Substring> = [
        "lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector", "modules_to_save",
    ]

    /// `nil` for a name without any of PEFT's components.
    init?(in name: String) {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard let role = parts.lastIndex(where: AdapterNamePlace.roles.contains) else { return nil }
        let rest = parts[(role + 1)...]
        var kept = rest
        var adapter: Substring?
        switch parts[role] {
        case "lora_A", "lora_B":
            // .lora_A.default.weight; without: .lora_A.weight
            if rest.count == 2 { adapter = kept.popFirst() }
        case "lora_embedding_A", "lora_embedding_B":
            // .lora_embedding_A.default; without: .lora_embedding_A
            if rest.count == 1 { adapter = kept.popFirst() }
        case "lora_magnitude_vector":
            // .lora_magnitude_vector.default, in newer versions with .weight; without: .lora_magnitude_vector
            if rest.count == 1 || (rest.count == 2 && rest.last == "weight") {
                adapter = rest.first
                kept = []
            }
        default:
            // .lm_head.modules_to_save.default.weight; without: .lm_head.weight, or with the embeddings saved
            // .lm_head.modules_to_save.weight, which AdapterTensorName knows.
            guard rest.count > 1, let first = kept.popFirst() else { break }
            self.adapter = String(first)
            nameWithoutAdapter = (parts[..<role] + kept).joined(separator: ".")
            return
        }
        self.adapter = adapter.map(String.init)
        nameWithoutAdapter = adapter == nil ? name : (parts[...role] + kept).joined(separator: ".")
    }
}
