import Adapters
import Checkpoints
import LosslessJSON
import SystemPackage
import Tensors
import Testing

/// Adapters made of several, beside those that PEFT's `add_weighted_adapter` made.
@Suite struct CombinationTests {
    private static let folder = Fixtures.directory.removingLastComponent().appending("combinations")

    private func adapter(_ name: String) throws -> LoRAAdapter {
        try LoRAAdapter(directory: CombinationTests.folder.appending(name))
    }

    private func combined(
        _ names: [String], _ weights: [Double], _ combination: AdapterCombination
    ) throws -> LoRAAdapter {
        try LoRAAdapter(combining: names.map(adapter), weights: weights, by: combination)
    }

    private func update(_ adapter: LoRAAdapter, _ module: Int) throws -> [Double] {
        let factors = try adapter.factors(ofModule: module)
        return (0..<factors.rows).flatMap { row in
            (0..<factors.columns).map { column in
                factors.scaling
                    * (0..<factors.rank).reduce(0.0) { sum, k in
                        sum + Double(factors.left[row * factors.rank + k])
                            * Double(factors.right[k * factors.columns + column])
                    }
            }
        }
    }

    @Test func combinationsAreThoseOfPEFT() throws {
        let cases = try #require(
            JSONValue(parsing: Fixtures.bytes(CombinationTests.folder.appending("cases.json"))).array)
        #expect(cases.count == 10)
        let expected = try WeightsCheckpoint(path: CombinationTests.folder.appending("expected.safetensors"))
        var compared = 0
        for (number, entry) in cases.enumerated() {
            let combination = AdapterCombination(
                try #require(entry["combination"]?.string.flatMap(AdapterCombination.Method.init)),
                density: entry["density"]?.double ?? 1,
                majoritySignMethod: entry["majority_sign_method"]?.string
                    .flatMap(AdapterCombination.MajoritySignMethod.init) ?? .total)
            let adapter = try combined(
                entry["adapters"]!.array!.compactMap(\.string), entry["weights"]!.array!.compactMap(\.double),
                combination)
            for (index, module) in adapter.modules.enumerated() {
                #expect(module.scaling == 1)
                let name = "\(number).\(module.name)"
                let tensor = try #require(expected.tensors.firstIndex { $0.name == name }, "\(name)")
                var bytes = [UInt8](repeating: 0, count: expected.tensors[tensor].byteCount(of: .values))
                try bytes.withUnsafeMutableBytes { try expected.read(.values, ofTensor: tensor, at: 0, into: $0) }
                let theirs = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
                let ours = try update(adapter, index)
                #expect(ours.count == theirs.count)
                #expect(zip(ours, theirs).allSatisfy { abs($0 - Double($1)) < 2e-6 }, "\(entry.serialized()) \(name)")
                compared += 1
            }
        }
        #expect(compared == expected.tensors.count)
    }

    /// What is dropped at random is a function of the seed alone, has the right share, and keeps the mean.
    @Test(arguments: [AdapterCombination.Method.dareLinear, .dareTies])
    func randomDropsAreSeededAndUnbiased(method: AdapterCombination.Method) throws {
        func factors(_ seed: UInt64) throws -> [Float] {
            try combined(["one", "two"], [1, 1], AdapterCombination(method, density: 0.5, seed: seed))
                .factors(ofModule: 0).right
        }
        #expect(try factors(1) == factors(1))
        #expect(try factors(1) != factors(2))
        guard method == .dareLinear else { return }
        let full = try combined(["one", "two"], [1, 1], AdapterCombination(.linear)).factors(ofModule: 0).right
        var mean = [Double](repeating: 0, count: full.count)
        let rounds = 2000
        for seed in 0..<rounds {
            for (index, value) in try factors(UInt64(seed)).enumerated() {
                mean[index] += Double(value) / Double(rounds)
            }
        }
        // The standard deviation of one value is below 1.2 · |values|, of its mean below that / √2000.
        for (average, value) in zip(mean, full) { #expect(abs(average - Double(value)) < 0.12, "\(average) \(value)") }
    }

    @Test func partsOfFactorsAreThoseOfTheWhole() throws {
        let reader = try combined(["one", "two"], [1, 1], AdapterCombination(.ties, density: 0.5)).weights
        for (index, tensor) in reader.tensors.enumerated() {
            func bytes(_ range: Range<Int>) throws -> [UInt8] {
                var bytes = [UInt8](repeating: 0, count: range.count)
                try bytes.withUnsafeMutableBytes {
                    try reader.read(.values, ofTensor: index, at: range.lowerBound, into: $0)
                }
                return bytes
            }
            let whole = try bytes(0..<tensor.byteCount(of: .values))
            #expect(try bytes(6..<21) == Array(whole[6..<21]))
            #expect(throws: CheckpointError.self) { try bytes(whole.count..<whole.count + 1) }
        }
    }

    @Test func whatCannotBeCombinedIsNamed() throws {
        func reason(_ names: [String], _ combination: AdapterCombination) -> String {
            let error = #expect(throws: AdapterError.self) {
                try combined(names, names.map { _ in 1 }, combination)
            }
            return error.map { "\($0)" } ?? ""
        }
        let ranks = reason(["one", "three"], AdapterCombination(.linear))
        #expect(ranks.contains("layers.0.q_proj: has ranks 4, 3") && ranks.contains("\"cat\" does not"))
        #expect(reason(["one"], AdapterCombination(.cat)).contains("at least two"))
        let magnitude = "base_model.model.model.layers.0.q_proj.lora_magnitude_vector"
        let dora = try TemporaryDirectory.adapter(
            [("use_dora", true)], TemporaryDirectory.modulePair() + [StoredTensor(magnitude, [5])])
        let plain = try TemporaryDirectory.adapter()
        let wider = try TemporaryDirectory.adapter(
            [],
            [
                StoredTensor("base_model.model.model.layers.0.q_proj.lora_A.weight", [2, 4]),
                StoredTensor("base_model.model.model.layers.0.q_proj.lora_B.weight", [5, 2]),
            ])
        for (other, word) in [(dora, "uses DoRA"), (wider, "for the same model?")] {
            let error = #expect(throws: AdapterError.self) {
                try LoRAAdapter(
                    combining: [LoRAAdapter(directory: plain.path), LoRAAdapter(directory: other.path)],
                    weights: [1, 1], by: AdapterCombination(.cat))
            }
            #expect("\(try #require(error))".contains(word))
        }
    }
}
