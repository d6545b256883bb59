import Adapters
import LosslessJSON
import SystemPackage
import Testing

@Suite struct ConfigurationTests {
    static let file: FilePath = "adapter_config.json"

    private func configuration(_ changes: (String, JSONValue)...) throws -> LoRAConfiguration {
        try LoRAConfiguration(TemporaryDirectory.configuration(changes), file: Self.file)
    }

    private func failure(_ changes: (String, JSONValue)...) -> AdapterError? {
        do {
            _ = try LoRAConfiguration(TemporaryDirectory.configuration(changes), file: Self.file)
            return nil
        } catch {
            return error as? AdapterError
        }
    }

    @Test func everyFieldOfPEFTIsListed() throws {
        let fields = try Fixtures.json("fields.json").object!.keys
        #expect(Array(LoRAConfiguration.fields.map(\.key).prefix(fields.count)) == Array(fields))
    }

    @Test func defaultsOfPEFTAreAccepted() throws {
        let configuration = try configuration()
        #expect(configuration.r == 2)
        #expect(configuration.loraAlpha == 8)
        #expect(!configuration.useRSLoRA)
        #expect(!configuration.fanInFanOut)
        #expect(configuration.rankPattern.isEmpty)
        #expect(configuration.targetModules == nil)
        #expect(configuration.layersToTransform == nil)
    }

    @Test func nullsAndEmptyListsSwitchNothingOn() throws {
        for (key, treatment) in LoRAConfiguration.fields {
            guard case .refused = treatment else { continue }
            for value: JSONValue in [nil, false, [], .object([:])] {
                _ = try configuration((key, value))
            }
        }
    }

    @Test(
        arguments: [
            ("megatron_config", ["tensor_model_parallel_size": 2], "Megatron"),
            ("velora_config", ["num_groups": 64], "VeLoRA"),
            ("alora_invocation_tokens", [5, 6], "aLoRA"),
            ("use_qalora", true, "QALoRA"),
            ("monteclora_config", ["num_samples": 8], "MonteCLoRA"),
            ("use_bdlora", ["nblocks": 2], "BD-LoRA"),
            ("arrow_config", ["top_k": 3], "Arrow"),
            ("kasa_config", ["beta": 0.5], "KaSA"),
            ("init_lora_weights", "pissa", "changed the base"),
            ("init_lora_weights", "pissa_niter_16", "changed the base"),
            ("init_lora_weights", "olora", "changed the base"),
            ("init_lora_weights", "corda", "changed the base"),
            ("init_lora_weights", "lora_ga", "changed the base"),
            ("init_lora_weights", "loftq", "changed the base"),
            ("enable_lora", [true, false, true], "LoraConfig"),
            ("brand_new_switch", true, "LoraConfig"),
            ("brand_new_number", 3, "LoraConfig"),
        ] as [(String, JSONValue, String)])
    func featuresAreRefusedByName(_ key: String, _ value: JSONValue, _ word: String) throws {
        let error = try #require(failure((key, value)))
        guard case .unsupportedFields(Self.file, let fields) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(fields.map(\.key) == [key])
        let text = "\(error)"
        for part in ["adapter_config.json", key, word] { #expect(text.contains(part), "\(text)") }
    }

    @Test func everyRefusedFieldIsTested() {
        let tested = Set([
            "megatron_config", "velora_config", "alora_invocation_tokens", "use_qalora", "monteclora_config",
            "use_bdlora",
            "arrow_config", "kasa_config",
        ])
        let refused = LoRAConfiguration.fields.compactMap { field -> String? in
            if case .refused = field.treatment { field.key } else { nil }
        }
        #expect(Set(refused) == tested)
    }

    @Test func everyRefusedFieldIsNamedAtOnce() {
        let error = failure(("use_bdlora", true), ("kasa_config", ["beta": 0.5]), ("novel", "x"))
        guard case .unsupportedFields(_, let fields)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(Set(fields.map(\.key)) == ["use_bdlora", "kasa_config", "novel"])
    }

    @Test(
        arguments: [
            ("task_type", "CAUSAL_LM"), ("auto_mapping", ["base_model_class": "X", "unsloth_fixed": true]),
            ("revision", "main"), ("inference_mode", true), ("lora_dropout", 0.1),
            ("megatron_core", "my.core"), ("loftq_config", ["loftq_bits": 4]), ("eva_config", ["rho": 2.0]),
            ("corda_config", ["verbose": false]), ("lora_ga_config", ["direction": "ArB2r"]), ("qalora_group_size", 32),
            ("runtime_config", ["ephemeral_gpu_offload": true]), ("merge_weights", true),
            ("init_lora_weights", false), ("init_lora_weights", "gaussian"), ("init_lora_weights", "eva"),
            ("init_lora_weights", "orthogonal"), ("init_lora_weights", "mica"), ("novel_and_off", false),
            ("novel_and_none", nil), ("novel_and_empty", []),
        ] as [(String, JSONValue)])
    func harmlessFieldsChangeNothing(_ key: String, _ value: JSONValue) throws {
        #expect(try configuration((key, value)) == configuration())
    }

    @Test(
        arguments: [
            ("r", 0), ("r", -1), ("r", 2.5), ("r", "8"), ("r", nil), ("lora_alpha", "16"), ("lora_alpha", nil),
            ("lora_alpha", 1e300),
            ("use_rslora", 1), ("fan_in_fan_out", "true"), ("rank_pattern", [4]), ("rank_pattern", ["q_proj": 0]),
            ("rank_pattern", ["q_proj": "4"]), ("alpha_pattern", ["q_proj": true]), ("target_modules", 3),
            ("target_modules", ["q_proj", 3]), ("exclude_modules", ["a": 1]), ("layers_to_transform", "0"),
            ("layers_to_transform", [0, 1.5]), ("layers_pattern", 3), ("base_model_name_or_path", 3),
            ("bias", "some"), ("modules_to_save", [1]), ("trainable_token_indices", [-1]),
            ("trainable_token_indices", ["embed_tokens": "all"]), ("use_dora", 1), ("lora_bias", "yes"),
            ("ensure_weight_tying", 1),
            ("target_parameters", "experts.gate_up_proj"), ("target_parameters", [1]), ("peft_version", 0.21),
            ("layer_replication", [0, 4]), ("layer_replication", [[0, 4, 5]]), ("layer_replication", [[3, 3]]),
            ("layer_replication", [[-1, 2]]), ("layer_replication", "0-4"),
        ] as [(String, JSONValue)])
    func wrongValuesAreNamed(_ key: String, _ value: JSONValue) throws {
        let error = try #require(failure((key, value)))
        guard case .wrongValue(Self.file, let named?, _, _) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(named.hasPrefix(key))
        #expect("\(error)".contains("found"))
    }

    @Test(arguments: ["peft_type", "r", "lora_alpha"]) func missingKeysAreNamed(_ key: String) throws {
        var document = try TemporaryDirectory.configuration()
        document[key] = nil
        #expect {
            try LoRAConfiguration(document, file: Self.file)
        } throws: { error in
            guard case .missingKey(_, key, _)? = error as? AdapterError else { return false }
            return "\(error)".contains("\(key) is missing")
        }
    }

    /// Every method of PEFT, and two that are none.
    @Test func otherMethodsAreNamed() throws {
        let methods = try Fixtures.json("peft-types.json").object!
        #expect(methods.count > 40)
        for (method, canMerge) in methods where method != "LORA" {
            let error = try #require(failure(("peft_type", .string(method))))
            #expect(error == .unsupportedMethod(file: Self.file, peftType: method))
            #expect("\(error)".contains("peft_type is \(method); "))
            #expect("\(error)".contains(canMerge.bool! ? "merge_and_unload" : "serve it unmerged"), "\(error)")
        }
        for method in ["lora", "QLORA"] {
            #expect("\(try #require(failure(("peft_type", .string(method)))))".contains("no such method"))
        }
    }

    @Test func theWriterIsTold() throws {
        #expect(try configuration(("peft_version", "0.21.3.dev0@abc")).peftVersion?.minor == 21)
        #expect(try configuration(("peft_version", "1.2")).peftVersion?.major == 1)
        for version: JSONValue in [nil, "UNKNOWN", "", "7"] {
            #expect(try configuration(("peft_version", version)).peftVersion == nil)
        }
    }

    @Test func layersAreReplicatedInRanges() throws {
        #expect(try configuration(("layer_replication", [[0, 4], [2, 5]])).layerReplication == [0..<4, 2..<5])
        #expect(try configuration(("layer_replication", [])).layerReplication.isEmpty)
    }

    @Test func rangesOfLayersAreBounded() throws {
        for ranges in [[0..<10_001], [0..<5000, 0..<5001], [0..<1, 0..<Int.max], [0..<Int.max, 0..<Int.max]] {
            #expect(throws: LayerReplicationError.tooManyLayers(limit: 10_000)) { try LayerReplication(ranges) }
        }
        #expect(try LayerReplication([0..<5000, 0..<5000]).sources.count == 10_000)
    }

    @Test func documentsThatAreNoObjectAreRefused() {
        #expect(throws: AdapterError.self) { try LoRAConfiguration([1, 2], file: Self.file) }
    }
}
