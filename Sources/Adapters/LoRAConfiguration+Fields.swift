import LosslessJSON

/// How a field of `adapter_config.json` is dealt with.
package enum FieldTreatment: Sendable {
    /// It decides the merged weights, or is checked against the file's tensors.
    case read
    /// No value of it changes a merge.
    case ignored
    /// It changes the merge in a way that is not supported, when it has a value other than `inactive`, `null`, `false` or
    /// an empty list, object or string.
    case refused(feature: String, inactive: JSONValue = .null, wayOut: String = mergeWithPEFT)

    package static let mergeWithPEFT =
        "merge this adapter with PEFT's merge_and_unload() and convert the merged model"
}

extension LoRAConfiguration {
    /// Every field of `LoraConfig` in PEFT 0.21.2, in its order, then those of older releases.
    package static let fields: [(key: String, treatment: FieldTreatment)] = [
        ("task_type", .ignored),
        ("peft_type", .read),
        ("auto_mapping", .ignored),
        ("peft_version", .read),
        ("base_model_name_or_path", .read),
        ("revision", .ignored),
        ("inference_mode", .ignored),
        ("r", .read),
        ("target_modules", .read),
        ("exclude_modules", .read),
        ("lora_alpha", .read),
        ("lora_dropout", .ignored),
        ("fan_in_fan_out", .read),
        ("bias", .refused(feature: "trained biases", inactive: "none")),
        ("use_rslora", .read),
        ("modules_to_save", .refused(feature: "modules trained in full")),
        ("init_lora_weights", .read),
        ("layers_to_transform", .read),
        ("layers_pattern", .read),
        ("rank_pattern", .read),
        ("alpha_pattern", .read),
        ("megatron_config", .refused(feature: "Megatron's parallel layers")),
        // The name of a Python module, used with megatron_config only.
        ("megatron_core", .ignored),
        ("trainable_token_indices", .refused(feature: "trained token embeddings")),
        // The four that follow describe an initialization; init_lora_weights says whether it took place.
        ("loftq_config", .ignored),
        ("eva_config", .ignored),
        ("corda_config", .ignored),
        ("lora_ga_config", .ignored),
        ("use_dora", .read),
        ("velora_config", .refused(feature: "VeLoRA")),
        (
            "alora_invocation_tokens",
            .refused(
                feature: "Activated LoRA (aLoRA)",
                wayOut: "it works from certain tokens on and cannot be merged into weights at all; serve it unmerged")
        ),
        (
            "use_qalora",
            .refused(feature: "QALoRA", wayOut: "PEFT cannot merge it into weights either; serve it unmerged")
        ),
        // Used with use_qalora only.
        ("qalora_group_size", .ignored),
        ("monteclora_config", .refused(feature: "MonteCLoRA")),
        ("layer_replication", .read),
        // Where computation takes place; PEFT removes it when it saves.
        ("runtime_config", .ignored),
        ("lora_bias", .read),
        ("target_parameters", .read),
        ("use_bdlora", .refused(feature: "BD-LoRA")),
        (
            "arrow_config",
            .refused(
                feature: "Arrow routing",
                wayOut: "it chooses among adapters for each token and cannot be merged; serve it unmerged")
        ),
        ("kasa_config", .refused(feature: "KaSA")),
        // Ties trained embeddings and saved modules, each of which shows in the tensors of the file.
        ("ensure_weight_tying", .ignored),
        // PEFT 0.2 and before: whether to merge when switched to evaluation.
        ("merge_weights", .ignored),
    ]

    /// The values of `init_lora_weights` that leave the base model as it was.
    ///
    /// The others (`pissa…`, `olora`, `corda…`, `lora_ga`, `loftq`) subtract the initial update from the base, or quantize
    /// it, and PEFT does so again whenever it loads the adapter.
    package static let initializationsThatKeepTheBase: [JSONValue] = [
        .null, true, false, "gaussian", "eva", "orthogonal", "mica",
    ]
}
