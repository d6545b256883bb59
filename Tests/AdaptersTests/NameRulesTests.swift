import Adapters
import Checkpoints
import LosslessJSON
import SystemPackage
import Tensors
import Testing

/// Adapters whose names are not quite PEFT's, or not quite the model's.
@Suite struct NameRulesTests {
    /// The adapter of a fixture with other names in its file.
    private func opened(_ rename: (String) -> String = { $0 }) throws -> LoRAAdapter {
        try LoRAAdapter(directory: Fixtures.directory.appending("plain")) { path in
            let reader = try AdapterFiles.openWeights(path)
            return RenamedCheckpoint(reader, names: reader.tensors.map { rename($0.name) })
        }
    }

    private func replacing(_ old: String, _ new: String) -> (String) -> String {
        { name in name.replacing(old, with: new, maxReplacements: 1) }
    }

    // MARK: - The names of the file

    @Test func savedNamesNeedNoRule() throws {
        #expect(try opened().nameRules.isEmpty)
    }

    @Test func everyRuleLeadsToPEFTsNames() throws {
        let plain = try opened()
        let styles: [(rule: String, change: (String) -> String)] = [
            ("with base_model.model. before", replacing("base_model.model.", "")),
            (
                "adapter's name \"default\"",
                { $0.replacing("lora_A.", with: "lora_A.default.").replacing("lora_B.", with: "lora_B.default.") }
            ),
            ("without _orig_mod", replacing("base_model.", "_orig_mod.base_model.")),
            ("without _fsdp_wrapped_module", replacing("model.layers", "model._fsdp_wrapped_module.layers")),
            ("without _checkpoint_wrapped_module", replacing("q_proj", "_checkpoint_wrapped_module.q_proj")),
            ("without module.", { "module." + $0 }),
            ("in place of two", { "base_model.model." + $0 }),
        ]
        for (rule, change) in styles {
            let other = try opened(change)
            #expect(other.nameRules.count == 1 && other.nameRules[0].contains(rule), "\(rule): \(other.nameRules)")
            #expect(other.modules == plain.modules, "\(rule)")
            #expect(try other.factors(ofModule: 2).left == plain.factors(ofModule: 2).left)
        }
        let two = try opened { (name: String) -> String in
            name.replacing("base_model.model.", with: "").replacing("lora_A.", with: "lora_A.x.")
                .replacing("lora_B.", with: "lora_B.x.")
        }
        #expect(two.nameRules.count == 2 && two.modules == plain.modules)
    }

    /// A rule is for all names or for none.
    @Test func mixturesAreRefused() throws {
        let mixtures: [(String) -> String] = [
            { name in name.contains("q_proj") ? name.replacing("base_model.model.", with: "") : name },
            { name in name.contains("q_proj") ? name.replacing("lora_A.", with: "lora_A.default.") : name },
            { name in
                let adapter = name.contains("q_proj") ? "one" : "two"
                return name.replacing("lora_A.", with: "lora_A.\(adapter).")
                    .replacing("lora_B.", with: "lora_B.\(adapter).")
            },
            // Names of other tools are not taken for PEFT's.
            { name in
                name.replacing("base_model.model.", with: "lora_unet_").replacing("lora_A", with: "lora_down")
                    .replacing("lora_B", with: "lora_up")
            },
        ]
        for change in mixtures {
            let error = #expect(throws: AdapterError.self) { try opened(change) }
            #expect("\(try #require(error))".contains("holds more than"))
        }
    }

    /// DoRA's magnitudes in the two forms of state dicts.
    @Test(arguments: ["lora_magnitude_vector.default.weight", "lora_magnitude_vector.default"])
    func magnitudesOfStateDicts(suffix: String) throws {
        let module = "base_model.model.model.layers.0.q_proj"
        let directory = try TemporaryDirectory.adapter(
            [("use_dora", true)],
            [
                StoredTensor("\(module).lora_A.default.weight", [2, 3]),
                StoredTensor("\(module).lora_B.default.weight", [5, 2]), StoredTensor("\(module).\(suffix)", [5]),
            ])
        let adapter = try LoRAAdapter(directory: directory.path)
        #expect(adapter.modules.map(\.hasMagnitude) == [true])
        #expect(adapter.nameRules.count == 1)
    }

    // MARK: - The names of the model

    private let layouts = [
        "model.", "model.language_model.", "language_model.model.", "language_model.", "model.text_model.",
        "thinker.model.", "",
    ]

    private func names(_ prefix: String) -> [String] {
        ["q_proj", "k_proj", "up_proj", "down_proj"].flatMap { part in
            (0..<3).map { "\(prefix)layers.\($0).\(part).weight" }
        } + ["\(prefix)norm.weight", "unrelated.weight"]
    }

    private func tensors(_ names: [String]) throws -> [LogicalTensor] {
        let base = try Fixtures.base(of: "plain")
        return names.map { name in
            let part = name.split(separator: ".").suffix(2).joined(separator: ".")
            let shape = base.first { $0.name.hasSuffix(part) }?.shape ?? [1]
            return LogicalTensor(name: name, shape: shape, encoding: .dense(.f32))
        }
    }

    @Test func everyLayoutIsFoundFromEveryOther() throws {
        for own in layouts {
            let adapter = try opened(replacing("base_model.model.model.", "base_model.model." + own))
            for other in layouts {
                let names = names(other)
                let fit = try adapter.nameFit(to: names)
                #expect((fit.rule == nil) == (own == other), "\(own) \(other)")
                let matches = try adapter.match(to: fit.renamed(tensors(names)))
                #expect(matches.count == 12)
                for match in matches {
                    let module = adapter.changes[match.change].tensorName
                    #expect(names[match.tensor] == other + module.dropFirst(own.count))
                }
            }
        }
    }

    @Test func aRuleMustMatchEverything() throws {
        let adapter = try opened()
        var names = names("model.language_model.")
        names.removeAll { $0.contains("layers.2.q_proj") }
        #expect(try adapter.nameFit(to: names).rule == nil)
        #expect(throws: AdapterError.self) { try adapter.match(to: tensors(names)) }
    }

    @Test func severalRulesAreAnError() throws {
        let adapter = try opened()
        let both = names("model.language_model.") + names("language_model.model.")
        let error = #expect(throws: AdapterError.self) { try adapter.nameFit(to: both) }
        let text = "\(try #require(error))"
        let choices = [#"s/^model\./model.language_model./"#, #"s/^model\./language_model.model./"#]
        for choice in choices {
            #expect(text.contains("\"\(choice)\""), "\(text)")
            let fit = try adapter.nameFit(to: both, rename: RenameRule(parsing: choice))
            let match = try #require(try adapter.match(to: fit.renamed(tensors(both))).first)
            #expect(both[match.tensor].hasPrefix(choice.contains("/language") ? "language_model." : "model.l"))
        }
        // Names that are the model's as they are need no rule, whatever else it has.
        #expect(try adapter.nameFit(to: both + names("model.")).rule == nil)
    }

    @Test func aGivenRuleMustDoSomething() throws {
        let adapter = try opened()
        for (rule, reason) in [("s/^visual/x/", "changes none"), (#"s/layers\.\d/layers.0/"#, "of both")] {
            let error = #expect(throws: AdapterError.self) {
                try adapter.nameFit(to: names("model."), rename: RenameRule(parsing: rule))
            }
            #expect("\(try #require(error))".contains(reason))
        }
    }

    /// A tied head has no tensor, so its name need not be among the model's.
    @Test func tiedHeadsNeedNoTensor() throws {
        let pairs = ["model.layers.0.x", "lm_head"].flatMap { TemporaryDirectory.modulePair($0) }
        let directory = try TemporaryDirectory.adapter([("target_modules", ["x", "lm_head"])], pairs)
        let adapter = try LoRAAdapter(directory: directory.path)
        let names = ["language_model.model.layers.0.x.weight", "language_model.model.embed_tokens.weight"]
        #expect(try adapter.nameFit(to: names).rule == nil)
        let fit = try adapter.nameFit(to: names, headIsTied: true)
        #expect(fit.rule != nil)
        #expect(fit.adapterName(of: names[0]) == "model.layers.0.x.weight")
        #expect(fit.modelName(of: "model.layers.0.x.weight") == names[0])
    }

    @Test func headsAndTowersMoveAlong() throws {
        let pairs = ["model.language_model.layers.0.x", "lm_head", "model.visual.blocks.0.qkv"].flatMap {
            TemporaryDirectory.modulePair($0)
        }
        let directory = try TemporaryDirectory.adapter([("target_modules", ["x", "lm_head", "qkv"])], pairs)
        let adapter = try LoRAAdapter(directory: directory.path)
        let older = ["language_model.model.layers.0.x", "language_model.lm_head", "visual.blocks.0.qkv"]
        let fit = try adapter.nameFit(to: older.map { $0 + ".weight" })
        #expect(fit.rule == "\"model.language_model.…\" is \"language_model.model.…\" in the model")
        let qwen = ["model.layers.0.x", "lm_head", "visual.blocks.0.qkv"]
        #expect(try adapter.nameFit(to: qwen.map { $0 + ".weight" }).rule != nil)
        #expect(
            try adapter.nameFit(to: ["model.layers.0.x", "lm_head", "tower.qkv"].map { $0 + ".weight" }).rule == nil)
    }
}
