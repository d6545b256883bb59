import Adapters
import Checkpoints
import LosslessJSON
import Tensors
import Testing

/// Factors of parameters that no module's `weight` is (`target_parameters`): fused experts.
@Suite struct ParameterTests {
    private static let owner = "layers.0.mlp.experts"
    private static let both: [(String, JSONValue)] = [
        ("target_parameters", ["experts.gate_up_proj", "experts.down_proj"]), ("target_modules", []),
        ("peft_version", "0.21.2"),
    ]

    /// Factors of 3 experts of rank 2.
    private static func factors(_ depth: Int, _ inFeatures: Int, _ outFeatures: Int, rows: Int = 6) -> [StoredTensor] {
        let module = owner + String(repeating: ".base_layer", count: depth)
        return [
            StoredTensor("base_model.model.\(module).lora_A.weight", [rows, inFeatures]),
            StoredTensor("base_model.model.\(module).lora_B.weight", [outFeatures, rows]),
        ]
    }

    private func tensor(_ name: String, _ shape: [Int], _ dtype: DType = .bf16) -> LogicalTensor {
        LogicalTensor(name: "\(Self.owner).\(name)", shape: shape, encoding: .dense(dtype))
    }

    private func match(
        _ factors: [StoredTensor], to tensors: [LogicalTensor], _ changes: [(String, JSONValue)] = both,
        _ config: JSONValue? = nil
    ) throws -> (matches: [AdapterMatch], problems: [LoRAMatchProblem], text: String) {
        let directory = try TemporaryDirectory.adapter(changes, factors)
        let adapter = try LoRAAdapter(testing: directory.path)
        do {
            return (
                try adapter.match(to: tensors, orientation: WeightOrientation(configuration: config)), [], ""
            )
        } catch let error as AdapterError {
            guard case .unmatched(_, _, let problems) = error else { throw error }
            return ([], problems, "\(error)")
        }
    }

    /// Which factors are whose shows in shapes alone, whatever their order in the file's nesting.
    @Test(arguments: [0, 1]) func shapesTellParametersApart(_ depth: Int) throws {
        let factors = Self.factors(depth, 8, 12) + Self.factors(1 - depth, 6, 8)
        let base = [tensor("down_proj", [3, 8, 6]), tensor("gate_up_proj", [3, 12, 8])]
        let result = try match(factors, to: base)
        #expect(result.matches.map(\.tensor) == [1, 0])
        #expect(result.matches.allSatisfy { $0.placement?.layout == .experts(count: 3, transposed: false) })
        #expect(result.matches.allSatisfy { $0.placement?.rank == 2 && $0.placement?.isRoundedFirst == true })
        let transposed = [tensor("down_proj", [3, 6, 8]), tensor("gate_up_proj", [3, 8, 12])]
        let other = try match(factors, to: transposed)
        #expect(other.matches.map(\.tensor) == [1, 0])
        #expect(other.matches.allSatisfy { $0.placement?.layout == .experts(count: 3, transposed: true) })
    }

    /// The rank is what the configuration says: 6 rows are not 2 experts of rank 3 because the model has 2 experts.
    @Test func ranksAreNotGuessed() throws {
        let factors = Self.factors(0, 8, 12)
        let one: [(String, JSONValue)] = [("target_parameters", ["gate_up_proj"]), ("target_modules", [])]
        let result = try match(factors, to: [tensor("gate_up_proj", [2, 12, 8])], one)
        #expect(
            result.problems == [
                .parameterShape(
                    name: "\(Self.owner).gate_up_proj", found: [2, 12, 8], rank: 2, rankSource: "r",
                    factors: [[6, 8, 12]])
            ])
        #expect(result.text.contains("rank 2 (r in adapter_config.json)"))
        // With the pattern PEFT writes for it, 2 experts are right; the pattern is matched with the parameter's path.
        let pattern: [(String, JSONValue)] = [
            ("rank_pattern", [#"mlp\.experts\.gate_up_proj"#: 3]), ("alpha_pattern", ["gate_up_proj": 6]),
        ]
        let fits = try match(factors, to: [tensor("gate_up_proj", [2, 12, 8])], one + pattern)
        #expect(fits.matches.map(\.placement?.scaling) == [2])
        #expect(fits.matches.map(\.placement?.rank) == [3])
    }

    /// Experts · rank is more than a number holds.
    @Test func ranksBeyondAllMeasureFitNothing() throws {
        let ranks: JSONValue = ["experts.down_proj": .int(Int.max)]
        let changes: [(String, JSONValue)] = Self.both + [("rank_pattern", ranks)]
        let base = [tensor("gate_up_proj", [3, 12, 8]), tensor("down_proj", [3, 8, 6])]
        let result = try match(Self.factors(0, 8, 12) + Self.factors(1, 6, 8), to: base, changes)
        #expect(result.problems.count == 2)
        #expect(result.text.contains("rank \(Int.max)"), "\(result.text)")
    }

    @Test func rowsThatAreNoMultipleOfTheRankAreNamed() throws {
        let directory = try TemporaryDirectory.adapter(Self.both, Self.factors(0, 8, 12, rows: 5))
        #expect {
            try LoRAAdapter(testing: directory.path)
        } throws: { error in
            "\(error)".contains("5 rows, which is no multiple of 2 (r in adapter_config.json)")
        }
    }

    @Test func squareExpertsNeedTheirClass() throws {
        let factors = Self.factors(0, 8, 8)
        let base = [tensor("down_proj", [3, 8, 8])]
        let name = "\(Self.owner).down_proj"
        #expect(try match(factors, to: base).problems == [.unknownOrientation(parameters: [name])])
        let custom: JSONValue = ["model_type": "mixtral", "auto_map": ["AutoModel": "modeling.M"]]
        #expect(
            try match(factors, to: base, Self.both, custom).problems == [.unknownOrientation(parameters: [name])])
        for (type, transposed) in [("gpt_oss", true), ("mixtral", false)] {
            let result = try match(factors, to: base, Self.both, ["model_type": .string(type)])
            #expect(result.matches.map(\.placement?.layout) == [.experts(count: 3, transposed: transposed)])
        }
        // A square parameter beside one that is not.
        let gateUp = Self.factors(1, 8, 16)
        let result = try match(factors + gateUp, to: base + [tensor("gate_up_proj", [3, 8, 16])])
        #expect(result.matches.allSatisfy { $0.placement?.layout == .experts(count: 3, transposed: true) })
    }

    /// PEFT 0.18 took all experts for [experts, in, out].
    @Test(arguments: ["0.18.1", nil] as [String?]) func squareExpertsOfAnOldPEFTAreRefused(_ version: String?) throws {
        let changes = Self.both + [("peft_version", version.map { .string($0) } ?? .null)]
        let factors = Self.factors(0, 8, 8)
        let base = [tensor("down_proj", [3, 8, 8])]
        let result = try match(factors, to: base, changes, ["model_type": "mixtral"])
        #expect(result.problems == [.oldOrientation(parameters: ["\(Self.owner).down_proj"])])
        #expect(try match(factors, to: base, changes, ["model_type": "gpt_oss"]).problems.isEmpty)
        // Where they are not square, the shape says what the adapter means.
        let oblong = try match(Self.factors(0, 8, 6), to: [tensor("down_proj", [3, 8, 6])], changes)
        #expect(oblong.matches.map(\.placement?.layout) == [.experts(count: 3, transposed: true)])
    }

    @Test func parametersOfOneShapeAreRefused() throws {
        let changes: [(String, JSONValue)] = [("target_parameters", ["experts.w1", "experts.w3"])]
        let result = try match(
            Self.factors(0, 8, 12) + Self.factors(1, 8, 12),
            to: [tensor("w1", [3, 12, 8]), tensor("w3", [3, 12, 8])], changes)
        #expect(result.problems == [.sameShapes(parameters: ["w1", "w3"].map { "\(Self.owner).\($0)" })])
    }

    /// As many parameters as nobody can try all orders of, alike or not, with factors for all or not.
    @Test(.timeLimit(.minutes(1)), arguments: [true, false]) func manyParametersTakeNoTime(areAlike: Bool) throws {
        let names = (0..<40).map { "w\($0)" }
        let changes: [(String, JSONValue)] = [("target_parameters", .array(names.map { .string("experts.\($0)") }))]
        let base = names.indices.map { tensor(names[$0], [3, areAlike ? 12 : 12 + $0 / 4, 8]) }
        let factors = names.indices.flatMap { Self.factors($0, 8, areAlike ? 12 : 12 + $0 / 5) }
        let problems = try match(factors, to: base, changes).problems
        if areAlike {
            #expect(problems == [.sameShapes(parameters: names.map { "\(Self.owner).\($0)" })])
        } else {
            #expect(problems.count == 40)
        }
    }

    @Test func missingParametersAndFactorsAreNamed() throws {
        let base = [tensor("gate_up_proj", [3, 12, 8]), tensor("down_proj", [3, 8, 6])]
        let one = try match(Self.factors(0, 8, 12), to: base)
        #expect(
            one.problems == [
                .parameterCount(
                    owner: Self.owner, factors: 1,
                    parameters: ["gate_up_proj", "down_proj"].map { "\(Self.owner).\($0)" })
            ])
        let none = try match(Self.factors(0, 8, 12), to: [tensor("other", [3, 12, 8])])
        #expect(none.problems.count == 2)
        #expect(none.text.contains("\(Self.owner).gate_up_proj: not in the model"))
        let whole = try match(
            Self.factors(0, 8, 12), to: [tensor("gate_up_proj", [3, 12, 8], .i8)],
            [("target_parameters", ["gate_up_proj"])])
        #expect(whole.problems == [.notFloatingPoint(name: "\(Self.owner).gate_up_proj", found: .i8)])
    }

    @Test func parametersTakePlainFactorsOnly() throws {
        let bias = StoredTensor("base_model.model.\(Self.owner).lora_B.bias", [12])
        let directory = try TemporaryDirectory.adapter(
            Self.both + [("lora_bias", true)], Self.factors(0, 8, 12) + [bias])
        #expect {
            try LoRAAdapter(testing: directory.path)
        } throws: {
            "\($0)".contains("target_parameters goes with plain factors only")
        }
    }

    /// Factors under a path that `target_parameters` does not name belong to no parameter.
    @Test func otherPathsAreModules() throws {
        let directory = try TemporaryDirectory.adapter(
            [("target_parameters", ["mlp.experts.gate_up_proj"]), ("target_modules", ["q_proj"])],
            TemporaryDirectory.modulePair("layers.0.q_proj"))
        #expect(try LoRAAdapter(testing: directory.path).modules[0].parameter == nil)
        let unnamed = try TemporaryDirectory.adapter(
            [("target_parameters", ["shared.gate_up_proj"]), ("target_modules", ["q_proj"])], Self.factors(0, 8, 12))
        #expect {
            try LoRAAdapter(testing: unnamed.path)
        } throws: {
            "\($0)".contains("\(Self.owner): has factors, but target_modules in adapter_config.json does not name it")
        }
    }

    /// The factors that PEFT's `get_delta_weight` takes for an expert: consecutive rows of lora_A, every third column of
    /// lora_B.
    @Test func factorsOfExpertsAreTakenApart() throws {
        let (experts, rank, inFeatures, outFeatures) = (3, 2, 2, 4)
        let a = (0..<experts * rank * inFeatures).map { Float($0) }
        let b = (0..<outFeatures * rank * experts).map { Float(100 + $0) }
        let factors = [
            StoredTensor("base_model.model.\(Self.owner).lora_A.weight", [6, inFeatures], values: a),
            StoredTensor("base_model.model.\(Self.owner).lora_B.weight", [outFeatures, 6], values: b),
        ]
        let directory = try TemporaryDirectory.adapter([("target_parameters", ["gate_up_proj"])], factors)
        let adapter = try LoRAAdapter(testing: directory.path)
        func valueOfB(_ expert: Int, _ out: Int, _ k: Int) -> Float { b[out * 6 + k * experts + expert] }
        func valueOfA(_ expert: Int, _ k: Int, _ column: Int) -> Float { a[(expert * rank + k) * inFeatures + column] }
        for (shape, transposed) in [([3, 4, 2], false), ([3, 2, 4], true)] {
            let match = try #require(try adapter.match(to: [tensor("gate_up_proj", shape)]).first)
            let read = try adapter.factors(ofModule: 0, placement: match.placement)
            #expect((read.blocks, read.rows, read.columns, read.rank) == (3, shape[1], shape[2], 2))
            for expert in 0..<3 {
                for row in 0..<shape[1] {
                    for k in 0..<2 {
                        #expect(
                            read.left[(expert * shape[1] + row) * 2 + k]
                                == (transposed ? valueOfA(expert, k, row) : valueOfB(expert, row, k)))
                    }
                }
                for k in 0..<2 {
                    for column in 0..<shape[2] {
                        #expect(
                            read.right[(expert * 2 + k) * shape[2] + column]
                                == (transposed ? valueOfB(expert, column, k) : valueOfA(expert, k, column)))
                    }
                }
            }
        }
        // A matrix for each expert and half.
        let split = (0..<3).flatMap { expert in
            ["gate_proj", "up_proj"].map { tensor("\(expert).\($0).weight", [2, 2]) }
        }
        let matches = try adapter.match(to: split)
        #expect(matches.map(\.tensor) == Array(0..<6))
        for (index, match) in matches.enumerated() {
            let (expert, half) = index.quotientAndRemainder(dividingBy: 2)
            let read = try adapter.factors(ofModule: 0, placement: match.placement)
            #expect((read.blocks, read.rows, read.columns) == (1, 2, 2))
            #expect(
                read.left == (0..<2).flatMap { row in (0..<2).map { valueOfB(expert, half * 2 + row, $0) } })
            #expect(read.right == (0..<4).map { valueOfA(expert, $0 / 2, $0 % 2) })
        }
    }
}
