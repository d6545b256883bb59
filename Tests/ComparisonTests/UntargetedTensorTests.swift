import Comparison
import Foundation
import SystemPackage
import TestSupport
import Testing

/// What a merge did to tensors that the adapter leaves alone, and to values that are no numbers.
@Suite struct UntargetedTensorTests {
    typealias Tensor = (name: String, dtype: String, shape: [Int], data: Data)

    /// A weight of zeros, an adapter whose update of it is one everywhere, and what else the models have.
    private func explain(
        _ base: [Tensor], _ merged: [Tensor], weight: (base: [Float], merged: [Float])? = nil,
        configurations: (base: String, merged: String)? = nil
    ) throws -> MergeExplanation {
        let models = try RandomModels()
        defer { models.remove() }
        let factor = data([Float](repeating: 0.5, count: 32))
        _ = try models.write(
            [
                ("base_model.model.x.lora_A.weight", "F32", [4, 8], factor),
                ("base_model.model.x.lora_B.weight", "F32", [8, 4], factor),
            ], to: "adapter/adapter_model.safetensors")
        try models.write(#"{"peft_type": "LORA", "r": 4, "lora_alpha": 4}"#, to: "adapter/adapter_config.json")
        let before = weight?.base ?? [Float](repeating: 0, count: 64)
        let after = weight?.merged ?? before.map { $0 + 1 }
        for (name, tensors, values) in [("base", base, before), ("merged", merged, after)] {
            _ = try models.write(
                tensors + [("x.weight", "F32", [8, 8], data(values))], to: "\(name)/model.safetensors")
        }
        if let configurations {
            try models.write(configurations.base, to: "base/config.json")
            try models.write(configurations.merged, to: "merged/config.json")
        }
        func model(_ name: String) throws -> ComparedModel {
            try ComparedModel(path: models.path(configurations == nil ? "\(name)/model.safetensors" : name))
        }
        var options = ComparisonOptions()
        options.adapter = models.path("adapter")
        return try MergeExplainer(base: model("base"), merged: model("merged"), options: options).run()
    }

    private func data<Element>(_ values: [Element]) -> Data { values.withUnsafeBytes { Data($0) } }

    private func norm(_ values: [Float]) -> Tensor { ("norm.weight", "F32", [values.count], data(values)) }

    private func norm16Bit(_ values: [Float]) -> Tensor {
        ("norm.weight", "BF16", [values.count], data(values.map { UInt16($0.bitPattern >> 16) }))
    }

    private func outcome(_ explanation: MergeExplanation, _ name: String) -> MergeOutcome? {
        explanation.tensors.first { $0.name == name }?.outcome
    }

    @Test func oneDTypeRoundsNothing() throws {
        // One place of bfloat16 more.
        let values = (0..<64).map { 1 + Float($0) / 64 }
        let noisy = values.map { $0 + 0x1p-7 }
        #expect(try explain([norm16Bit(values)], [norm16Bit(values)]).isRight)
        let found = try explain([norm16Bit(values)], [norm16Bit(noisy)])
        #expect(outcome(found, "norm.weight") == .changedWithoutUpdate)
        #expect(found.conclusion.contains("but other tensors changed"))
        // Another dtype does.
        let fine = (0..<64).map { 1 + Float($0) / 61 }
        #expect(outcome(try explain([norm(fine)], [norm16Bit(fine)]), "norm.weight") == .rounded)
        // −0 is 0.
        #expect(outcome(try explain([norm([0, 1])], [norm([-0.0, 1])]), "norm.weight") == .untouched)
    }

    /// Codes on the scales that they had before are moved by nobody's rounding.
    @Test func theSameScalesRoundNothing() throws {
        func quantized(_ codes: [UInt8], scale: Float) -> [Tensor] {
            let state = Data(
                #"{"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [8, 8]}"#.utf8)
            let levels: [Float] = [
                -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
                -0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725,
                0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023,
                1,
            ]
            return [
                ("y.weight", "U8", [32, 1], data(codes)), ("y.weight.absmax", "F32", [1], data([scale])),
                ("y.weight.quant_map", "F32", [16], data(levels)),
                ("y.weight.quant_state.bitsandbytes__nf4", "U8", [state.count], state),
            ]
        }
        let codes = (0..<32).map { UInt8($0 * 37 % 256) | 0x0F }
        var moved = codes
        moved[5] ^= 0x10
        let same = try explain(quantized(codes, scale: 0.5), quantized(codes, scale: 0.5))
        #expect(outcome(same, "y.weight") == .untouched)
        let changed = try explain(quantized(codes, scale: 0.5), quantized(moved, scale: 0.5))
        #expect(outcome(changed, "y.weight") == .changedWithoutUpdate)
        // Another scale, as double quantization brings it.
        let rescaled = try explain(quantized(codes, scale: 0.5), quantized(moved, scale: 0.501))
        #expect(outcome(rescaled, "y.weight") == .rounded)
    }

    @Test func whatWasNoNumberIsNotRight() throws {
        let found = try explain([norm([.nan, .infinity, 1])], [norm([7, -5, 1])])
        #expect(outcome(found, "norm.weight") == .changedWithoutUpdate)
        #expect(!found.isRight)
        #expect(try explain([norm([.nan, .infinity, 1])], [norm([.nan, .infinity, 1])]).isRight)
        #expect(!(try explain([norm([.nan, .infinity, 1])], [norm([.nan, -.infinity, 1])]).isRight))

        var base = [Float](repeating: 0, count: 64)
        base[3] = .infinity
        let right = base.map { $0 + 1 }
        #expect(try explain([], [], weight: (base, right)).isRight)
        var wrong = right
        wrong[3] = 7
        #expect(outcome(try explain([], [], weight: (base, wrong)), "x.weight") == .unexplained)
    }

    @Test func tensorsOfOneModelAreNotRight() throws {
        let values: [Float] = [1, 2, 3]
        let lost = try explain([norm(values)], [])
        #expect(outcome(lost, "norm.weight") == .missingTensor)
        #expect(lost.conclusion.contains("but the models do not have the same tensors"), "\(lost.conclusion)")
        let added = try explain([], [norm(values)])
        #expect(outcome(added, "norm.weight") == .extraTensor)
        #expect(!lost.isRight && !added.isRight)
    }

    @Test(arguments: [
        ("model.layers.0.self_attn.rotary_emb.inv_freq", [4]), ("h.0.attn.bias", [1, 1, 2, 2]),
        ("h.0.attn.masked_bias", [1]), ("embeddings.position_ids", [1, 4]),
    ])
    func buffersMakeNoDifference(name: String, shape: [Int]) throws {
        let buffer: Tensor = (name, "F32", shape, data([Float](repeating: 1, count: shape.reduce(1, *))))
        for found in [try explain([buffer], []), try explain([], [buffer])] {
            #expect(outcome(found, name) == .onlyInOne)
            #expect(found.isRight)
            #expect(found.conclusion.hasSuffix("1 tensor is only in one of the models, which makes no difference."))
        }
        // A bias is none.
        let bias: Tensor = ("h.0.attn.bias", "F32", [4], data([Float](repeating: 1, count: 4)))
        #expect(!(try explain([bias], []).isRight))
    }

    @Test func aTiedHeadMakesNoDifference() throws {
        let values = data([Float](repeating: 1, count: 8))
        let embedding: Tensor = ("model.embed_tokens.weight", "F32", [4, 2], values)
        let head: Tensor = ("lm_head.weight", "F32", [4, 2], values)
        let (tied, untied) = (#"{"tie_word_embeddings": true}"#, #"{"tie_word_embeddings": false}"#)
        for (base, merged, isRight) in [
            (tied, tied, true), ("{}", tied, true), (untied, untied, false), (untied, tied, false),
            (tied, untied, false),
        ] {
            let lost = try explain([embedding, head], [embedding], configurations: (base, merged))
            #expect(outcome(lost, "lm_head.weight") == (isRight ? .onlyInOne : .missingTensor), "\(base) \(merged)")
            let added = try explain([embedding], [embedding, head], configurations: (base, merged))
            #expect(outcome(added, "lm_head.weight") == (isRight ? .onlyInOne : .extraTensor), "\(base) \(merged)")
        }
        #expect(try explain([embedding, head], [embedding]).isRight)
        // There is nothing to tie to.
        #expect(!(try explain([head], []).isRight))
    }
}
