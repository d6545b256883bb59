import Comparison
import Foundation
import LosslessJSON
import Reports
import SystemPackage
import Tensors
import Testing

/// What headers, names and configurations tell.
@Suite struct HeaderTests {
    private func compare(
        _ models: RandomModels, _ a: String, _ b: String, _ options: ComparisonOptions = ComparisonOptions()
    ) throws -> ModelDifference {
        try ModelComparer(
            ComparedModel(path: models.path(a)), ComparedModel(path: models.path(b)), options: options
        ).run()
    }

    @Test func tensorsOfOneSideAndOtherShapes() throws {
        let models = try RandomModels()
        defer { models.remove() }
        _ = try models.write([("both", [1]), ("gone", [1, 2]), ("shape", [1, 2])], to: "a.safetensors")
        _ = try models.write([("shape", [1, 2, 3]), ("new", [1]), ("both", [1])], to: "b.safetensors")
        let found = try compare(models, "a.safetensors", "b.safetensors")
        #expect(found.tensors.map(\.name) == ["both", "gone", "shape", "new"])
        #expect(found.tensors.map(\.outcome) == [.identical, .onlyInA, .shapesDiffer, .onlyInB])
        #expect(!found.isEqual)
        #expect(
            found.verdict.text
                == "Every value that both models have is the same, but the models are not. 1 tensor is only in the first, 1 only in the second. 1 tensor has another shape."
        )
    }

    /// No percentage tells how much a tensor of zeros has changed.
    @Test func theLargestErrorDoesNotHideWhatWasZero() throws {
        let models = try RandomModels()
        defer { models.remove() }
        let zero: [Float] = [0, 0]
        _ = try models.write([("v", [3, 4]), ("w", [3, 4]), ("z", zero), ("n", [.nan])], to: "a.safetensors")
        _ = try models.write([("v", [3, 5]), ("w", [3, 6]), ("z", [1, 0]), ("n", [1])], to: "b.safetensors")
        let found = try compare(models, "a.safetensors", "b.safetensors")
        #expect(found.summary.withoutRelativeError == 2)
        #expect(
            found.verdict.text.contains(
                "; the largest is 40.0 %, in w, not counting 2 tensors that are zero or not finite in the first."),
            "\(found.verdict.text)")

        _ = try models.write([("same", [3]), ("y", zero), ("z", zero)], to: "c.safetensors")
        _ = try models.write([("same", [3]), ("y", [0, 1]), ("z", [1, 0])], to: "d.safetensors")
        #expect(
            try compare(models, "c.safetensors", "d.safetensors").verdict.text
                == "2 of 3 tensors differ from zeros, or from what is not finite.")
    }

    /// The adapter's names fit by a rule even where its head is tied and has no tensor whose name could.
    @Test func anAdapterOfATiedHeadFitsOtherNames() throws {
        let models = try RandomModels()
        defer { models.remove() }
        func matrix(_ name: String, _ shape: [Int], _ value: Float) -> (String, String, [Int], Data) {
            let values = [Float](repeating: value, count: shape[0] * shape[1])
            return (name, "F32", shape, values.withUnsafeBytes { Data($0) })
        }
        let query = "language_model.model.layers.0.self_attn.q_proj.weight"
        for (folder, value) in [("a", Float(1)), ("b", 2)] {
            _ = try models.write(
                [matrix(query, [4, 4], value), matrix("language_model.model.embed_tokens.weight", [8, 4], 1)],
                to: "\(folder)/model.safetensors")
            try models.write(#"{"tie_word_embeddings": true}"#, to: "\(folder)/config.json")
        }
        _ = try models.write(
            [("model.layers.0.self_attn.q_proj", 4), ("lm_head", 8)].flatMap { module, rows in
                [
                    matrix("base_model.model.\(module).lora_A.weight", [1, 4], 1),
                    matrix("base_model.model.\(module).lora_B.weight", [rows, 1], 1),
                ]
            }, to: "adapter/adapter_model.safetensors")
        try models.write(#"{"peft_type": "LORA", "r": 1, "lora_alpha": 1}"#, to: "adapter/adapter_config.json")
        var options = ComparisonOptions()
        options.adapter = models.path("adapter")
        let found = try compare(models, "a", "b", options)
        #expect(found.tensors.first { $0.name == query }?.update?.figures.updateKept == 1)
    }

    @Test func renamesBringNamesTogether() throws {
        let models = try RandomModels()
        defer { models.remove() }
        _ = try models.write([("model.language_model.layers.0.w", [1]), ("head", [2])], to: "a.safetensors")
        _ = try models.write([("model.layers.0.w", [1]), ("head", [2])], to: "b.safetensors")
        var options = ComparisonOptions()
        options.renames = [try RenameRule(parsing: #"s/^model\.language_model\./model./"#)]
        let found = try compare(models, "a.safetensors", "b.safetensors", options)
        #expect(found.isEqual)
        #expect(found.tensors.map(\.name) == ["model.layers.0.w", "head"])
        #expect(found.tensors[0].a?.name == "model.language_model.layers.0.w")

        options.renames = [try RenameRule(parsing: "s/nothing/x/")]
        #expect(throws: ComparisonError.idleRule(text: "s/nothing/x/", example: "model.language_model.layers.0.w")) {
            _ = try compare(models, "a.safetensors", "b.safetensors", options)
        }
        options.renames = [try RenameRule(parsing: "s/.*/same/")]
        #expect(
            throws: ComparisonError.ambiguousNames(
                model: models.path("a.safetensors"), first: "model.language_model.layers.0.w", second: "head",
                name: "same")
        ) { _ = try compare(models, "a.safetensors", "b.safetensors", options) }
    }

    @Test(arguments: [
        (#"s/a\.(b)\.c/x.\1.y/"#, "a.b.c.a.b.c", "x.b.y.a.b.c"),
        (#"s/a/[&]/g"#, "banana", "b[a]n[a]n[a]"),
        (#"s|^|base_model.model.|"#, "w", "base_model.model.w"),
        (#"s/(\d+)\.(\w+)$/\2.\1/"#, "layers.12.w", "layers.w.12"),
        (#"s/a\/b/\&/"#, "xa/b", "x&"),
        (#"s/(x)?y/<\1>/"#, "y", "<>"),
    ])
    func rules(rule: String, name: String, expected: String) throws {
        let models = try RandomModels()
        defer { models.remove() }
        _ = try models.write([(name, [1])], to: "a.safetensors")
        var options = ComparisonOptions()
        options.renames = [try RenameRule(parsing: rule)]
        #expect(try compare(models, "a.safetensors", "a.safetensors", options).tensors.map(\.name) == [expected])
    }

    @Test(arguments: [
        ("", "is no rule"), ("a/b/c", "is no rule"), ("s", "is no rule"), ("sabac", "is no rule"),
        ("s/a", "needs three \"/\""), ("s/a/b", "needs three \"/\""), ("s/a/b/c/d", "needs three \"/\""),
        ("s/a/b/x", "ends in \"x\", which is not known"), ("s//b/", "has no pattern"),
        (#"s/a/\1/"#, #"\1 stands for a group that the pattern does not have"#),
    ])
    func badRules(rule: String, reason: String) {
        #expect(throws: RenameRuleError(text: rule, reason: reason)) { _ = try RenameRule(parsing: rule) }
    }

    @Test func anInvalidExpressionIsRefused() {
        #expect(throws: RenameRuleError.self) { _ = try RenameRule(parsing: "s/(/x/") }
        #expect(throws: ComparisonError.self) { _ = try ComparisonOptions.renames(["s/(/x/"]) }
    }

    @Test func patternsSelect() throws {
        let models = try RandomModels()
        defer { models.remove() }
        _ = try models.write([("a.weight", [1]), ("b.weight", [1]), ("c", [1])], to: "a.safetensors")
        var options = ComparisonOptions()
        options.include = [Glob("*.weight")]
        options.exclude = [Glob("b")]
        #expect(try compare(models, "a.safetensors", "a.safetensors", options).tensors.map(\.name) == ["a.weight"])
        options.exclude = [Glob("nothing*")]
        #expect(throws: ComparisonError.idlePattern(text: "nothing*", example: "a.weight")) {
            _ = try compare(models, "a.safetensors", "a.safetensors", options)
        }
    }

    private func withConfigs(_ a: String, _ b: String) throws -> ModelDifference {
        let models = try RandomModels()
        defer { models.remove() }
        for (name, config) in [("a", a), ("b", b)] {
            _ = try models.write([("w", [1])], to: "\(name)/model.safetensors", metadata: name)
            try models.write(config, to: "\(name)/config.json")
        }
        return try compare(models, "a", "b")
    }

    @Test func configurationsCount() throws {
        let found = try withConfigs(
            #"{"rope": {"theta": 1e4, "type": "x"}, "dtype": "float16", "eps": 1e-06, "n": null, "list": [1, 2]}"#,
            #"{"rope": {"theta": 5e5, "type": "x"}, "dtype": "bfloat16", "eps": 0.000001, "list": [1.0, 2], "new": true}"#
        )
        #expect(found.configurationChanges.map(\.key) == ["rope.theta", "dtype", "new"])
        #expect(found.configurationChanges.map(\.isAboutStorage) == [false, true, false])
        #expect(found.metadataChanges.map(\.key) == ["note"])
        #expect(!found.isEqual)
        #expect(found.verdict.text.contains("do not describe the same model: rope.theta, new."))
    }

    @Test func howAModelIsStoredDoesNotCount() throws {
        let found = try withConfigs(
            #"{"quantization_config": {"load_in_4bit": true}, "text_config": {"dtype": "float16"}}"#,
            #"{"text_config": {"dtype": "bfloat16"}, "transformers_version": "5"}"#)
        #expect(found.configurationChanges.count == 3)
        #expect(found.isEqual)
        #expect(found.verdict.outcome == .identical)
    }

    /// PEFT holds some lists as sets, and writes them in another order each time.
    @Test func theOrderOfAnAdaptersSetsDoesNotCount() throws {
        let models = try RandomModels()
        defer { models.remove() }
        func changes(_ a: String, _ b: String) throws -> [String] {
            for (name, config) in [("a", a), ("b", b)] {
                _ = try models.write([("x.lora_A.weight", [1])], to: "\(name)/adapter_model.safetensors")
                try models.write(config, to: "\(name)/adapter_config.json")
            }
            let found = try compare(models, "a", "b")
            #expect(found.isEqual == found.configurationChanges.isEmpty)
            return found.configurationChanges.map(\.key)
        }
        let keys = [
            "target_modules", "exclude_modules", "modules_to_save", "layers_to_transform", "target_parameters",
        ]
        for key in keys {
            #expect(try changes(#"{"\#(key)": ["q", "k", "v"]}"#, #"{"\#(key)": ["v", "q", "k"]}"#) == [])
            #expect(try changes(#"{"\#(key)": ["q", "k"]}"#, #"{"\#(key)": ["q", "v"]}"#) == [key])
            #expect(try changes(#"{"\#(key)": ["q"]}"#, #"{"\#(key)": "q"}"#) == [key])
        }
        // The rows of what was trained stand in this order.
        let indices = "trainable_token_indices"
        #expect(try changes(#"{"\#(indices)": [1, 2]}"#, #"{"\#(indices)": [2, 1]}"#) == [indices])
        // Of models all lists are what they are.
        let found = try withConfigs(#"{"target_modules": [1, 2]}"#, #"{"target_modules": [2, 1]}"#)
        #expect(found.configurationChanges.map(\.key) == ["target_modules"])
    }

    @Test func tolerance() throws {
        let models = try RandomModels()
        defer { models.remove() }
        _ = try models.write([("x", [3, 4]), ("n", [.nan, 3, 4])], to: "a.safetensors")
        _ = try models.write([("x", [3.005, 4]), ("n", [.nan, 3.005, 4])], to: "b.safetensors")
        _ = try models.write([("x", [3.005, 4]), ("n", [1, 3.005, 4])], to: "c.safetensors")
        var options = ComparisonOptions()
        #expect(try !compare(models, "a.safetensors", "b.safetensors", options).isEqual)
        options.tolerance = 0.0011
        let found = try compare(models, "a.safetensors", "b.safetensors", options)
        #expect(found.isEqual)
        #expect(found.verdict.outcome == .tolerated)
        // A NaN that only one side has is never tolerated.
        #expect(try !compare(models, "a.safetensors", "c.safetensors", options).isEqual)
        options.tolerance = 0.0009
        #expect(try !compare(models, "a.safetensors", "b.safetensors", options).isEqual)
    }
}
