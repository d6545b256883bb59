import Adapters
import Checkpoints
import LosslessJSON
import SystemPackage
import Tensors
import Testing

@Suite struct MatchTests {
    private func problems(
        _ tensors: [LogicalTensor], _ changes: [(String, JSONValue)] = [],
        _ factors: [StoredTensor] = TemporaryDirectory.modulePair()
    ) throws -> (problems: [LoRAMatchProblem], text: String) {
        let directory = try TemporaryDirectory.adapter(changes, factors)
        let adapter = try LoRAAdapter(testing: directory.path)
        do {
            _ = try adapter.match(to: tensors)
            return ([], "")
        } catch {
            guard case .unmatched(directory.path, adapter.changes.count, let problems) = error else {
                Issue.record("\(error)")
                return ([], "")
            }
            return (problems, "\(error)")
        }
    }

    private func tensor(_ name: String, _ shape: [Int], _ dtype: DType = .bf16) -> LogicalTensor {
        LogicalTensor(name: name, shape: shape, encoding: .dense(dtype))
    }

    private let weight = "model.layers.0.q_proj.weight"

    @Test func aMissingPrefixShows() throws {
        let base = [
            tensor("layers.0.q_proj.weight", [5, 3]), tensor("layers.1.q_proj.weight", [5, 3]), tensor("norm", [3]),
        ]
        let (problems, text) = try problems(base)
        #expect(problems == [.noTensor(name: weight, closest: ["layers.0.q_proj.weight"])])
        #expect(text.contains("is this an adapter for another model?"))
        #expect(text.contains("1 of 1 changes"))
    }

    @Test func namesOfAnotherModelShow() throws {
        let base = ["a", "b", "c", "d"].map { tensor("transformer.\($0).weight", [5, 3]) }
        let names = ["transformer.a.weight", "transformer.b.weight", "transformer.c.weight"]
        #expect(try problems(base).problems == [.noTensor(name: weight, closest: names)])
        #expect(try problems([]).text.contains("the model has no tensors"))
    }

    @Test func shapesAreCompared() throws {
        let (problems, text) = try problems([tensor(weight, [5, 4])])
        #expect(
            problems
                == [
                    .shape(name: weight, expected: [5, 3], found: [5, 4], fitsTransposed: false)
                ])
        #expect(text.contains("expected [5, 3]"))
        #expect(text.contains("found [5, 4]"))
    }

    /// PEFT corrects `fan_in_fan_out` by the module's class; here the shape says what it is.
    @Test(arguments: [false, true]) func shapesDecideTheOrientation(_ fanInFanOut: Bool) throws {
        let directory = try TemporaryDirectory.adapter([("fan_in_fan_out", .bool(fanInFanOut))])
        let adapter = try LoRAAdapter(testing: directory.path)
        for (shape, layout) in [([5, 3], FactorLayout.outIn), ([3, 5], .inOut)] {
            let matches = try adapter.match(to: [tensor(weight, shape)])
            #expect(matches.map(\.placement?.layout) == [layout])
        }
    }

    @Test func quantizedWeightsAreNeverInOut() throws {
        let nf4 = LogicalTensor(
            name: weight, shape: [3, 5],
            encoding: .blockQuantized(BlockQuantization(quantType: .nf4, blocksize: 64, dtype: .bf16)))
        let (problems, text) = try problems([nf4], [("fan_in_fan_out", true)])
        #expect(problems == [.shape(name: weight, expected: [5, 3], found: [3, 5], fitsTransposed: true)])
        #expect(text.contains("4-bit weights are [out, in]"))
    }

    /// Architectures with `Conv1D` tell each weight's class by its name, whatever the configuration says.
    @Test(arguments: [false, true]) func theArchitectureDecidesSquareWeights(_ fanInFanOut: Bool) throws {
        let names = ["transformer.h.0.attn.c_proj", "lm_head"]
        let factors = names.flatMap { name in
            ["lora_A", "lora_B"].map { StoredTensor("base_model.model.\(name).\($0).weight", [2, 2]) }
        }
        let directory = try TemporaryDirectory.adapter([("fan_in_fan_out", .bool(fanInFanOut))], factors)
        let adapter = try LoRAAdapter(testing: directory.path)
        let orientation = WeightOrientation(configuration: ["model_type": "gpt2"])
        let dense = names.map { tensor("\($0).weight", [2, 2]) }
        #expect(
            try adapter.match(to: dense, orientation: orientation).map(\.placement?.layout) == [.inOut, .outIn])
        let quantized = dense.map {
            LogicalTensor(
                name: $0.name, shape: $0.shape,
                encoding: .blockQuantized(BlockQuantization(quantType: .nf4, blocksize: 64, dtype: .bf16)))
        }
        #expect(
            try adapter.match(to: quantized, orientation: orientation).map(\.placement?.layout) == [.outIn, .outIn])
    }

    @Test func squareWeightsBesideOthersThatContradictTheConfigurationAreRefused() throws {
        let factors =
            TemporaryDirectory.modulePair()
            + ["lora_A", "lora_B"].map { StoredTensor("base_model.model.square.\($0).weight", [2, 2]) }
        let base = [tensor(weight, [3, 5]), tensor("square.weight", [2, 2])]
        let (problems, text) = try problems(base, [], factors)
        #expect(problems == [.unclearOrientation(name: "square.weight", shape: [2, 2], storedInOut: false)])
        #expect(text.contains("config.json"))
        #expect(try self.problems(base, [("fan_in_fan_out", true)], factors).problems.isEmpty)
    }

    @Test func squareWeightsFollowTheConfiguration() throws {
        let factors = [
            StoredTensor("base_model.model.x.lora_A.weight", [2, 2], values: [1, 2, 3, 4]),
            StoredTensor("base_model.model.x.lora_B.weight", [2, 2], values: [5, 6, 7, 8]),
        ]
        for fanInFanOut in [false, true] {
            let directory = try TemporaryDirectory.adapter([("fan_in_fan_out", .bool(fanInFanOut))], factors)
            let adapter = try LoRAAdapter(testing: directory.path)
            #expect(try adapter.match(to: [tensor("x.weight", [2, 2])]).count == 1)
            let read = try adapter.factors(ofModule: 0)
            #expect(read.left == (fanInFanOut ? [1, 3, 2, 4] : [5, 6, 7, 8]))
            #expect(read.right == (fanInFanOut ? [5, 7, 6, 8] : [1, 2, 3, 4]))
        }
    }

    @Test func onlyMatricesOfNumbersMatch() throws {
        #expect(
            try problems([tensor(weight, [5, 3, 1, 1])]).problems == [.notAMatrix(name: weight, found: [5, 3, 1, 1])])
        #expect(
            try problems([tensor(weight, [5, 3], .i8)]).problems == [.notFloatingPoint(name: weight, found: .i8)])
        let nf4 = LogicalTensor(
            name: weight, shape: [5, 3],
            encoding: .blockQuantized(BlockQuantization(quantType: .nf4, blocksize: 64, dtype: .bf16)))
        #expect(try problems([nf4]).problems.isEmpty)
    }

    @Test func allProblemsAreCountedAndTheFirstListed() throws {
        let factors = (0..<30).flatMap { TemporaryDirectory.modulePair("layers.\($0).q_proj") }
        let base = [tensor("layers.7.q_proj.weight", [5, 3]), tensor("layers.9.q_proj.weight", [3, 3])]
        let (problems, text) = try problems(base, [], factors)
        #expect(problems.count == 29)
        #expect(text.contains("29 of 30 changes do not fit the model:"))
        #expect(text.contains("and 21 more"))
    }
}
