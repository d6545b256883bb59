import Adapters
import LosslessJSON
import SystemPackage
import Tensors
import Testing

/// Adapter files that are not what they should be.
@Suite struct AdapterTensorsTests {
    private func failure(_ changes: [(String, JSONValue)] = [], _ tensors: [StoredTensor]) throws -> AdapterError? {
        let directory = try TemporaryDirectory.adapter(changes, tensors)
        do {
            _ = try LoRAAdapter(testing: directory.path)
            return nil
        } catch let error as AdapterError {
            return error
        }
    }

    private func problems(_ changes: [(String, JSONValue)] = [], _ tensors: [StoredTensor]) throws
        -> [AdapterTensorProblem]
    {
        let error = try failure(changes, tensors)
        guard case .inconsistentTensors(let file, let problems)? = error else {
            Issue.record("\(String(describing: error))")
            return []
        }
        #expect(file.lastComponent?.string == "adapter_model.safetensors")
        return problems
    }

    private let a = "base_model.model.model.layers.0.q_proj.lora_A.weight"
    private let b = "base_model.model.model.layers.0.q_proj.lora_B.weight"
    private let module = "model.layers.0.q_proj"

    @Test func plainAdapterOpens() throws {
        let directory = try TemporaryDirectory.adapter()
        let adapter = try LoRAAdapter(testing: directory.path)
        #expect(adapter.modules.map(\.name) == [module])
        #expect(adapter.modules[0].rank == 2)
        #expect(adapter.modules[0].inFeatures == 3)
        #expect(adapter.modules[0].outFeatures == 5)
        #expect(adapter.modules[0].scaling == 4)
    }

    @Test func magnitudesGoWithUseDoRA() throws {
        let name = "base_model.model.model.layers.0.q_proj.lora_magnitude_vector"
        let pair = TemporaryDirectory.modulePair()
        let on: [(String, JSONValue)] = [("use_dora", true)]
        let directory = try TemporaryDirectory.adapter(on, pair + [StoredTensor(name, [5], values: [1, 2, 3, 4, 5])])
        let adapter = try LoRAAdapter(testing: directory.path)
        #expect(adapter.modules[0].hasMagnitude)
        #expect(try adapter.magnitudes(ofModule: 0) == [1, 2, 3, 4, 5])
        #expect(try problems(on, pair) == [.missingFactor(present: a, missing: name)])
        #expect(
            try problems(on, pair + [StoredTensor(name, [3])])
                == [.vectorShape(tensor: name, expected: [5], found: [3])])
        #expect(
            try problems([], pair + [StoredTensor(name, [5])]) == [.unannounced(tensor: name, field: "use_dora")])
    }

    private let delta = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"

    @Test func trainedRowsGoWithTheirIndices() throws {
        let rows = StoredTensor(delta, [2, 3], values: [1, 2, 3, 4, 5, 6])
        let pair = TemporaryDirectory.modulePair()
        let forms: [JSONValue] = [[7, 4], ["embed_tokens": [7, 4], "lm_head": [1]]]
        for indices in forms {
            let directory = try TemporaryDirectory.adapter([("trainable_token_indices", indices)], pair + [rows])
            let adapter = try LoRAAdapter(testing: directory.path)
            let expected = AdapterChange.Kind.rows(tensor: 2, indices: [7, 4])
            #expect(adapter.changes.contains { $0.kind == expected && $0.tensorName == "model.embed_tokens.weight" })
            #expect(try adapter.rowValues(ofTensor: 2) == [1, 2, 3, 4, 5, 6])
        }
        #expect(
            try problems([("trainable_token_indices", [7])], pair + [rows])
                == [.rowCount(tensor: delta, expected: 1, found: [2, 3])])
        #expect(
            try problems([("trainable_token_indices", [7, 7])], pair + [rows]) == [.repeatedIndices(tensor: delta)])
        #expect(
            try problems([], pair + [rows]) == [.unannounced(tensor: delta, field: "trainable_token_indices")])
    }

    @Test func wholeTensorsReplaceThoseOfTheBase() throws {
        let head = StoredTensor("base_model.model.lm_head.weight", [4, 3])
        let layer = StoredTensor("base_model.model.model.layers.0.q_proj.base_layer.bias", .bf16, [5])
        let pair = TemporaryDirectory.modulePair()
        let directory = try TemporaryDirectory.adapter([("modules_to_save", ["lm_head"])], pair + [head, layer])
        let adapter = try LoRAAdapter(testing: directory.path)
        #expect(
            adapter.changes.map(\.tensorName)
                == ["lm_head.weight", "model.layers.0.q_proj.bias", "model.layers.0.q_proj.weight"])
        #expect(adapter.changes[0].kind == .replacement(tensor: 2, isCopy: true))
        #expect(adapter.changes[1].kind == .replacement(tensor: 3, isCopy: false))

        let twice = StoredTensor("base_model.model.model.layers.0.q_proj.bias", [5])
        #expect(
            try problems([], pair + [layer, twice]) == [.repeated(first: layer.name, second: twice.name)])
        let integers = StoredTensor("base_model.model.lm_head.weight", .i8, [4, 3])
        #expect(
            try problems([], pair + [integers]) == [.encoding(tensor: integers.name, found: .dense(.i8))])
    }

    /// Embeddings that PEFT saves with their wrapper, alone or beside factors, with or without an adapter's name.
    @Test(arguments: ["modules_to_save.weight", "modules_to_save.default.weight", "weight"])
    func copiesOfModulesAreKnownByTheirWrapper(suffix: String) throws {
        let head = StoredTensor("base_model.model.lm_head.\(suffix)", [4, 3])
        let name = suffix.contains("default") ? "default." : ""
        let pair = ["A", "B"].map { factor in
            StoredTensor(
                "base_model.model.model.layers.0.q_proj.lora_\(factor).\(name)weight", factor == "A" ? [2, 3] : [5, 2])
        }
        for others in [[], pair] {
            let directory = try TemporaryDirectory.adapter([("modules_to_save", ["lm_head"])], [head] + others)
            let adapter = try LoRAAdapter(directory: directory.path)
            #expect(adapter.changes[0].tensorName == "lm_head.weight")
            #expect(adapter.changes[0].kind == .replacement(tensor: 0, isCopy: true))
            #expect(adapter.modules.count == others.count / 2)
            #expect(adapter.nameRules.isEmpty == name.isEmpty)
        }
    }

    /// PEFT takes any end of a module's path for its name, whole components or not.
    @Test(arguments: [("lm_head", true), ("head", true), ("lm_head.", false), ("lm", false), ("m_hea", false)])
    func modulesToSaveAreNamedByTheirEnds(name: String, isCopy: Bool) throws {
        let head = StoredTensor("base_model.model.lm_head.weight", [4, 3])
        let directory = try TemporaryDirectory.adapter(
            [("modules_to_save", [.string(name)])], TemporaryDirectory.modulePair() + [head])
        let adapter = try LoRAAdapter(testing: directory.path)
        #expect(adapter.changes[0].kind == .replacement(tensor: 2, isCopy: isCopy))
    }

    @Test func embeddingsHaveFactorsOfTheirOwnKind() throws {
        let names = ["A", "B"].map { "base_model.model.model.embed_tokens.lora_embedding_\($0)" }
        let factors = [StoredTensor(names[0], [2, 7]), StoredTensor(names[1], [3, 2])]
        let directory = try TemporaryDirectory.adapter([], factors)
        let module = try LoRAAdapter(testing: directory.path).modules[0]
        #expect(module.kind == .embedding)
        #expect(module.weightShape == [7, 3])
        #expect(try problems([], [factors[0]]) == [.missingFactor(present: names[0], missing: names[1])])
        let linear = StoredTensor("base_model.model.model.embed_tokens.lora_A.weight", [2, 7])
        #expect(
            try problems([], factors + [linear]) == [.repeated(first: names[0], second: linear.name)])
    }

    @Test func biasesGoWithLoRABias() throws {
        let name = "base_model.model.model.layers.0.q_proj.lora_B.bias"
        let pair = TemporaryDirectory.modulePair()
        let on: [(String, JSONValue)] = [("lora_bias", true)]
        let directory = try TemporaryDirectory.adapter(on, pair + [StoredTensor(name, [5], values: [1, 2, 3, 4, 5])])
        let adapter = try LoRAAdapter(testing: directory.path)
        #expect(adapter.changes.map(\.tensorName) == ["weight", "bias"].map { "model.layers.0.q_proj.\($0)" })
        #expect(try adapter.biasFactors(ofModule: 0).left == [1, 2, 3, 4, 5])
        #expect(try problems(on, pair) == [.missingFactor(present: a, missing: name)])
        #expect(
            try problems(on, pair + [StoredTensor(name, [5, 1])])
                == [.vectorShape(tensor: name, expected: [5], found: [5, 1])])
        #expect(
            try problems([], pair + [StoredTensor(name, [5])]) == [.unannounced(tensor: name, field: "lora_bias")])
    }

    @Test(arguments: [
        ("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_original", "trainable_token_indices"),
        ("base_model.model.x.lora_diag", "KaSA"),
        ("base_model.model.x.lora_velora_embed", "VeLoRA"),
        ("base_model.model.x.lora_something_new", "lora_something_new"),
        ("base_model.model.x.lora_A.default.weight", "adapter's name (default)"),
        ("base_model.model.x.lora_B.my_run.weight", "adapter's name (my_run)"),
        ("model.layers.0.q_proj.lora_A.weight", "not a name that PEFT gives"),
        ("lora_unet_down_blocks_0.lora_down.weight", "not a name that PEFT gives"),
    ]) func otherTensorsAreRefusedByName(_ name: String, _ word: String) throws {
        let error = try #require(try failure([], TemporaryDirectory.modulePair() + [StoredTensor(name, [2, 2])]))
        guard case .unsupportedTensors(_, let tensors) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(tensors.map(\.name) == [name])
        #expect("\(error)".contains(name))
        #expect("\(error)".contains(word), "\(error)")
    }

    @Test func longListsAreCut() throws {
        let tensors = (0..<20).map { StoredTensor("base_model.model.layers.\($0).mlp.lora_diag", [1, 1]) }
        let text = "\(try #require(try failure([], tensors)))"
        #expect(text.contains("and 12 more"))
        #expect(text.split(separator: "\n").count == 10)
    }

    @Test func aFactorAloneIsNamed() throws {
        let pair = TemporaryDirectory.modulePair()
        #expect(try problems([], [pair[0]]) == [.missingFactor(present: a, missing: b)])
        #expect(try problems([], [pair[1]]) == [.missingFactor(present: b, missing: a)])
    }

    @Test func anEmptyFileIsRefused() throws {
        guard case .empty? = try failure([], []) else {
            Issue.record("an adapter without tensors opened")
            return
        }
    }

    @Test(arguments: DType.allCases) func onlyThreeDTypesAreFactors(_ dtype: DType) throws {
        // Sizes that are whole bytes for the sub-byte types too.
        let tensors = [StoredTensor(a, dtype, [2, 8]), StoredTensor(b, dtype, [8, 2])]
        if [.f32, .f16, .bf16].contains(dtype) {
            #expect(try failure([], tensors) == nil)
        } else {
            #expect(
                try problems([], tensors) == [
                    .encoding(tensor: a, found: .dense(dtype)), .encoding(tensor: b, found: .dense(dtype)),
                ])
        }
    }

    @Test(arguments: [[6], [0, 3], []]) func factorsAreMatrices(_ shape: [Int]) throws {
        let tensors = [StoredTensor(a, shape), StoredTensor(b, [5, 2])]
        let problems = try problems([], tensors)
        #expect(problems == [.shape(tensor: a, found: shape)])
        #expect(problems.first?.description.contains("ZeRO-3") == true)
    }

    @Test func ranksMustAgree() throws {
        let tensors = [StoredTensor(a, [2, 3]), StoredTensor(b, [5, 4])]
        #expect(try problems([], tensors) == [.ranksDiffer(module: module, a: 2, b: 4)])
    }

    @Test func ranksMustBeThoseOfTheConfiguration() throws {
        let pair = TemporaryDirectory.modulePair()
        #expect(
            try problems([("r", 8)], pair)
                == [.unexpectedRank(module: module, expected: 8, found: 2, source: "r")])
        #expect(
            try problems([("rank_pattern", ["q_proj": 3])], pair)
                == [.unexpectedRank(module: module, expected: 3, found: 2, source: "rank_pattern[\"q_proj\"]")])
        #expect(try failure([("r", 8), ("rank_pattern", ["q_proj": 2])], pair) == nil)
    }

    @Test func modulesOutsideTheConfigurationAreRefused() throws {
        let pair = TemporaryDirectory.modulePair()
        func objection(_ changes: (String, JSONValue)...) throws -> [AdapterTensorProblem] {
            try problems(changes, pair)
        }
        #expect(
            try objection(("target_modules", ["q_proj"]), ("layers_to_transform", [1, 2]))
                == [.unwantedModule(module: module, .layer(0, expected: [1, 2]))])
        #expect(
            try objection(("target_modules", ["q_proj"]), ("layers_to_transform", 0), ("layers_pattern", "h"))
                == [.unwantedModule(module: module, .layer(nil, expected: [0]))])
        #expect(try objection(("target_modules", ["k_proj"])) == [.unwantedModule(module: module, .notTargeted)])
        #expect(
            try objection(("target_modules", ["q_proj"]), ("exclude_modules", ["q_proj"]))
                == [.unwantedModule(module: module, .excluded)])
        #expect(
            try objection(("target_modules", ["q_proj"]), ("modules_to_save", ["q_proj"]))
                == [.unwantedModule(module: module, .saved)])
    }

    @Test func everyProblemIsReported() throws {
        let tensors =
            TemporaryDirectory.modulePair("x.0.a") + [
                StoredTensor("base_model.model.x.0.b.lora_A.weight", .i8, [2, 3]),
                StoredTensor("base_model.model.x.0.b.lora_B.weight", [5, 2]),
            ]
        #expect(try problems([("r", 4)], tensors).count == 2)
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity]) func factorsMustBeFinite(_ value: Float) throws {
        let directory = try TemporaryDirectory.adapter(
            [],
            [
                StoredTensor(a, [2, 3], values: [1, 2, 3, 4, 5, 6]),
                StoredTensor(b, [5, 2], values: [0, 0, 0, value, 0, 0, 0, 0, 0, 0]),
            ])
        let adapter = try LoRAAdapter(testing: directory.path)
        #expect {
            try adapter.factors(ofModule: 0)
        } throws: { error in
            guard case .nonFinite(_, b, 3)? = error as? AdapterError else { return false }
            return "\(error)".contains("lora_B.weight")
        }
    }

    @Test func sixteenBitFactorsAreWidenedExactly() throws {
        func bytes(_ bits: [UInt16]) -> [UInt8] { bits.flatMap { withUnsafeBytes(of: $0.littleEndian, Array.init) } }
        // 1, −2, the largest, the smallest normal and the smallest subnormal value.
        let half: [UInt16] = [0x3C00, 0xC000, 0x7BFF, 0x0400, 0x0001, 0x8000]
        let brain: [UInt16] = [0x3F80, 0xC000, 0x7F7F, 0x0080, 0x0001, 0x8000]
        let directory = try TemporaryDirectory.adapter(
            [],
            [StoredTensor(a, .f16, [2, 3], bytes: bytes(half)), StoredTensor(b, .bf16, [3, 2], bytes: bytes(brain))])
        let factors = try LoRAAdapter(testing: directory.path).factors(ofModule: 0)
        #expect(factors.right == [1, -2, 65504, 0x1p-14, 0x1p-24, 0])
        #expect(factors.left == [1, -2, 0x1.FEp127, 0x1p-126, 0x1p-133, 0])
    }
}
