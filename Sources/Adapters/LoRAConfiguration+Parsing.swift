import LosslessJSON
import SystemPackage

extension LoRAConfiguration {
    /// Reads `adapter_config.json` strictly.
    ///
    /// - Parameter file: The file's path, for messages.
    /// - Throws: ``AdapterError`` when a field has a value that PEFT would not have written, or when the adapter uses a
    ///   feature that a plain LoRA merge cannot reproduce.
    public init(_ document: JSONValue, file: FilePath) throws(AdapterError) {
        guard document.object != nil else {
            throw .wrongValue(file: file, key: nil, expected: "an object", found: document.kind)
        }
        let reader = FieldReader(document: document, file: file)
        let peftType = try reader.required("peft_type", "the name of a PEFT method") { $0.string }
        guard peftType == "LORA" else { throw .unsupportedMethod(file: file, peftType: peftType) }
        let unsupported = LoRAConfiguration.unsupportedFields(in: document)
        guard unsupported.isEmpty else { throw .unsupportedFields(file: file, unsupported) }

        r = try reader.required("r", "a positive integer") { $0.positiveInt }
        loraAlpha = try reader.required("lora_alpha", "a number") { $0.finiteDouble }
        useRSLoRA = try reader.optional("use_rslora", "true or false") { $0.bool } ?? false
        fanInFanOut = try reader.optional("fan_in_fan_out", "true or false") { $0.bool } ?? false
        useDoRA = try reader.optional("use_dora", "true or false") { $0.bool } ?? false
        loraBias = try reader.optional("lora_bias", "true or false") { $0.bool } ?? false
        rankPattern = try reader.pattern("rank_pattern", "a positive integer") { $0.positiveInt }
        alphaPattern = try reader.pattern("alpha_pattern", "a number") { $0.finiteDouble }
        targetParameters = try reader.optional("target_parameters", "a list of parameter names") { $0.stringList } ?? []
        layerReplication =
            try reader.optional("layer_replication", "a list of [start, end] with 0 <= start < end") { $0.ranges } ?? []
        targetModules = try reader.selection("target_modules")
        excludeModules = try reader.selection("exclude_modules")
        let layers = try reader.optional("layers_to_transform", "a layer's index or a list of them") { $0.integers }
        // PEFT takes an empty list for none given.
        layersToTransform = layers.flatMap { $0.isEmpty ? nil : $0 }
        layersPattern = try reader.optional("layers_pattern", "a string or a list of strings") { $0.strings } ?? []
        peftVersion = try reader.optional("peft_version", "a string") { $0.string }.flatMap(PEFTVersion.init)
        baseModelNameOrPath = try reader.optional("base_model_name_or_path", "a string") { $0.string }
    }

    /// The fields that change the merge in a way that is not supported, in the order of the document.
    private static func unsupportedFields(in document: JSONValue) -> [UnsupportedField] {
        guard let members = document.object else { return [] }
        return members.elements.compactMap { key, value in
            let found = value.abbreviated
            if key == "init_lora_weights" {
                guard !initializationsThatKeepTheBase.contains(value) else { return nil }
                return UnsupportedField(
                    key: key, found: found, feature: "an initialization that changed the base model",
                    wayOut: """
                        save the adapter with save_pretrained(…, path_initial_model_for_weight_conversion=…), or, if the \
                        input already is the changed base, set init_lora_weights to true in adapter_config.json
                        """)
            }
            guard let treatment = fields.first(where: { $0.key == key })?.treatment else {
                guard value.isActive else { return nil }
                return UnsupportedField(
                    key: key, found: found, feature: "a field that LoraConfig of PEFT 0.21.2 does not have",
                    wayOut: "if it does not change what the adapter computes, remove it from adapter_config.json")
            }
            guard case .refused(let feature, let inactive, let wayOut) = treatment, value.isActive, value != inactive
            else { return nil }
            return UnsupportedField(key: key, found: found, feature: feature, wayOut: wayOut)
        }
    }
}

/// Takes typed values out of the document.
private struct FieldReader {
    let document: JSONValue
    let file: FilePath

    func required<Value>(_ key: String, _ expected: String, _ convert: (JSONValue) -> Value?) throws(AdapterError)
        -> Value
    {
        guard let field = document[key] else { throw .missingKey(file: file, key: key, expected: expected) }
        return try value(of: field, key, expected, convert)
    }

    func optional<Value>(_ key: String, _ expected: String, _ convert: (JSONValue) -> Value?) throws(AdapterError)
        -> Value?
    {
        guard let field = document[key], !field.isNull else { return nil }
        return try value(of: field, key, expected, convert)
    }

    func pattern<Value>(_ key: String, _ expected: String, _ convert: (JSONValue) -> Value?) throws(AdapterError)
        -> [PatternOverride<Value>]
    {
        let members = try optional(key, "an object from patterns to values") { $0.object } ?? [:]
        var overrides: [PatternOverride<Value>] = []
        for (pattern, field) in members {
            let path = "\(key)[\"\(pattern)\"]"
            overrides.append(PatternOverride(pattern: pattern, value: try value(of: field, path, expected, convert)))
        }
        return overrides
    }

    func selection(_ key: String) throws(AdapterError) -> ModuleSelection? {
        try optional(key, "a list of module names or a regular expression") { field in
            field.string.map { .expression($0) } ?? field.strings.map { .names($0) }
        }
    }

    private func value<Value>(
        of field: JSONValue, _ key: String, _ expected: String, _ convert: (JSONValue) -> Value?
    ) throws(AdapterError) -> Value {
        guard let value = convert(field) else {
            throw .wrongValue(file: file, key: key, expected: expected, found: field.abbreviated)
        }
        return value
    }
}

extension JSONValue {
    fileprivate var positiveInt: Int? { int.flatMap { $0 > 0 ? $0 : nil } }

    /// A number that is finite as a float32 too, which the scaling becomes.
    fileprivate var finiteDouble: Double? { double.flatMap { Float($0).isFinite ? $0 : nil } }

    /// One integer or a list of them.
    fileprivate var integers: [Int]? {
        guard let array else { return int.map { [$0] } }
        let integers = array.compactMap(\.int)
        return integers.count == array.count ? integers : nil
    }

    /// One string or a list of them.
    fileprivate var strings: [String]? {
        array == nil ? string.map { [$0] } : stringList
    }

    /// A list of pairs of a start and an end beyond it.
    fileprivate var ranges: [Range<Int>]? {
        guard let array else { return nil }
        let ranges = array.compactMap { pair -> Range<Int>? in
            guard let ends = pair.integers, pair.array?.count == 2, 0 <= ends[0], ends[0] < ends[1] else { return nil }
            return ends[0]..<ends[1]
        }
        return ranges.count == array.count ? ranges : nil
    }

    fileprivate var stringList: [String]? {
        guard let array else { return nil }
        let strings = array.compactMap(\.string)
        return strings.count == array.count ? strings : nil
    }

    /// Whether a switch or a setting with this value is on.
    fileprivate var isActive: Bool {
        switch self {
        case .null: false
        case .bool(let value): value
        case .number: true
        case .string(let value): !value.isEmpty
        case .array(let elements): !elements.isEmpty
        case .object(let members): !members.isEmpty
        }
    }

    /// The value as compact JSON, cut where it gets too long for a message.
    fileprivate var abbreviated: String {
        let text = serialized()
        return text.count <= 60 ? text : text.prefix(59) + "…"
    }
}
