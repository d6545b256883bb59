import LosslessJSON
import OrderedCollections
import SystemPackage
import Tensors

/// A model's `config.json`. Edits keep everything else: content, order and the text of numbers.
public struct ModelConfig: Hashable, Sendable {
    /// The document, an object.
    public private(set) var json: JSONValue
    private var endsWithNewline: Bool
    private var escapesNonASCII: Bool

    /// Reads a file.
    ///
    /// - Throws: ``CheckpointError/invalidConfig(file:reason:)``; ``Tensors/FileError``.
    public init(path: FilePath) throws {
        let file = try InputFile(path: path)
        guard file.size <= 64 << 20 else {
            throw CheckpointError.invalidConfig(file: path, reason: "has \(file.size) bytes; that is no config.json")
        }
        try self.init(parsing: try file.bytes(0..<file.size), path: path)
    }

    /// Parses a document. Like Python it accepts `Infinity` and `NaN`, which some models have.
    ///
    /// - Parameter path: For messages.
    public init(parsing bytes: [UInt8], path: FilePath = "config.json") throws(CheckpointError) {
        do throws(JSONParseError) {
            json = try JSONValue(parsing: bytes, allowsPythonConstants: true)
        } catch {
            throw .invalidConfig(file: path, reason: "is not valid JSON: \(error)")
        }
        guard json.object != nil else {
            throw .invalidConfig(file: path, reason: "expected an object, found \(json.kind)")
        }
        endsWithNewline = bytes.last == UInt8(ascii: "\n")
        escapesNonASCII = bytes.allSatisfy { $0 < 0x80 }
    }

    /// The document as transformers writes it: `json.dumps(indent=2)`, with a last newline if it had one.
    public var bytes: [UInt8] {
        let text = json.serialized(.pythonIndented, escapingNonASCII: escapesNonASCII)
        return Array((endsWithNewline ? text + "\n" : text).utf8)
    }

    /// The architecture's name: `llama`, `t5`, …
    public var modelType: String? { json["model_type"]?.string }

    public var quantizationConfig: JSONValue? {
        guard let config = json["quantization_config"], !config.isNull else { return nil }
        return config
    }
}

// MARK: - What the model is quantized with

extension ModelConfig {
    /// The quantization that the config declares, if it is one that we cannot decode.
    public var foreignQuantization: ForeignQuantization? {
        guard let config = quantizationConfig ?? json["compression_config"], !config.isNull else { return nil }
        let method = config["quant_method"]?.string
        if isBitsAndBytes(config) {
            guard config["load_in_8bit"]?.bool == true || config["_load_in_8bit"]?.bool == true else { return nil }
            return ForeignQuantization(method: "bitsandbytes LLM.int8", evidence: "load_in_8bit in config.json")
        }
        return ForeignQuantization(
            method: method ?? "an unnamed method",
            evidence: method == nil ? "quantization_config in config.json" : "quant_method in config.json")
    }

    /// The modules that `llm_int8_skip_modules` keeps out of quantization; `nil` when transformers chooses.
    public var skipModules: [String]? {
        guard let config = quantizationConfig, isBitsAndBytes(config) else { return nil }
        return config["llm_int8_skip_modules"]?.array?.compactMap(\.string)
    }

    /// Old configs have no quant_method; transformers then goes by these keys.
    private func isBitsAndBytes(_ config: JSONValue) -> Bool {
        if let method = config["quant_method"]?.string { return method.hasPrefix("bitsandbytes") }
        return config["load_in_4bit"]?.bool == true || config["load_in_8bit"]?.bool == true
    }
}

// MARK: - Edits

extension ModelConfig {
    /// The config of a bitsandbytes 4-bit model.
    ///
    /// An existing bitsandbytes `quantization_config` keeps its other fields; one of another method is replaced.
    ///
    /// - Parameters:
    ///   - storage: `bnb_4bit_quant_storage`, the dtype that codes are viewed as.
    ///   - computeDType: `bnb_4bit_compute_dtype`; `nil` keeps what is there, else the dtype of the model.
    ///   - skipModules: `llm_int8_skip_modules`; `nil` when transformers' own choice is right.
    public func settingQuantization(
        _ quantType: QuantType, doubleQuantization: Bool, storage: DType = .u8, computeDType: DType? = nil,
        skipModules: [String]?
    ) -> ModelConfig {
        let old = quantizationConfig.flatMap { isBitsAndBytes($0) ? $0.object : nil }
        // The keys that transformers writes, in its order.
        var config: OrderedDictionary<String, JSONValue> =
            old ?? [
                "_load_in_4bit": true, "_load_in_8bit": false, "bnb_4bit_compute_dtype": "float32",
                "bnb_4bit_quant_storage": "uint8", "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": false,
                "llm_int8_enable_fp32_cpu_offload": false, "llm_int8_has_fp16_weight": false,
                "llm_int8_skip_modules": nil, "llm_int8_threshold": 6.0, "load_in_4bit": true, "load_in_8bit": false,
                "quant_method": "bitsandbytes",
            ]
        if old == nil || config["_load_in_4bit"] != nil {
            config["_load_in_4bit"] = true
            config["_load_in_8bit"] = false
        }
        config["load_in_4bit"] = true
        config["load_in_8bit"] = false
        config["quant_method"] = "bitsandbytes"
        config["bnb_4bit_quant_type"] = .string(quantType.rawValue)
        config["bnb_4bit_use_double_quant"] = .bool(doubleQuantization)
        config["bnb_4bit_quant_storage"] = .string(storage.torchName ?? "uint8")
        if let name = computeDType?.torchName ?? (old == nil ? dtype?.torchName : nil) {
            config["bnb_4bit_compute_dtype"] = .string(name)
        }
        config["llm_int8_skip_modules"] = skipModules.map { .array($0.map { .string($0) }) } ?? .null
        return setting("quantization_config", to: .object(config))
    }

    /// The config of the same model without quantization.
    public func removingQuantization() -> ModelConfig {
        var copy = self
        copy.json["quantization_config"] = nil
        copy.json["compression_config"] = nil
        return copy
    }

    /// The dtype of the model's 16- and 32-bit weights: `dtype`, or `torch_dtype` before transformers 5.
    public var dtype: DType? {
        let places = [json] + ModelConfig.nestedConfigs.compactMap { json[$0] }
        let names = places.lazy.flatMap { [$0["dtype"], $0["torch_dtype"]] }
        return names.compactMap { $0?.string }.compactMap { DType(torchName: $0) }.first
    }

    /// The config of a model whose weights have another dtype, also in the configs of the parts of a multi-modal model.
    ///
    /// The key that is there is kept: `dtype`, or `torch_dtype` before transformers 5.
    public func settingDType(_ dtype: DType) -> ModelConfig {
        guard let name = dtype.torchName else { return self }
        var copy = self
        var found = false
        func update(_ config: inout JSONValue) {
            for key in ["dtype", "torch_dtype"] where config[key] != nil {
                config[key] = .string(name)
                found = true
            }
        }
        update(&copy.json)
        for key in ModelConfig.nestedConfigs {
            guard var nested = copy.json[key], nested.object != nil else { continue }
            update(&nested)
            copy.json[key] = nested
        }
        return found ? copy : copy.setting("dtype", to: .string(name))
    }

    /// Where multi-modal models keep the configs of their parts.
    static let nestedConfigs = [
        "text_config", "vision_config", "audio_config", "llm_config", "language_config", "thinker_config",
    ]

    /// Sets a key; a new one goes where it belongs among sorted keys, as transformers writes them, else at the end.
    func setting(_ key: String, to value: JSONValue) -> ModelConfig {
        guard var members = json.object else { return self }
        if members[key] == nil {
            let keys = Array(members.keys)
            let isSorted = zip(keys, keys.dropFirst()).allSatisfy { $0.precedesByBytes($1) }
            let place = isSorted ? keys.firstIndex { key.precedesByBytes($0) } : nil
            members.updateValue(value, forKey: key, insertingAt: place ?? keys.count)
        } else {
            members[key] = value
        }
        var copy = self
        copy.json = .object(members)
        return copy
    }
}
