import Reports
import Tensors
import Testing

@Suite struct VerdictTests {
    private func verdict(_ tensors: [TensorReport]) -> Verdict {
        OutputReport(path: "out", format: "bitsandbytes", tensors: tensors).verdict
    }

    @Test(arguments: [
        (0.98, Verdict.Outcome.survived), (0.9, .survived), (0.8999, .thinned), (0.3, .thinned), (0.2999, .erased),
        (0.0, .erased), (-0.1, .erased), (1.3, .survived),
    ])
    func thresholds(kept: Double, outcome: Verdict.Outcome) {
        let found = verdict([Sample.merged("a", kept: kept, error: 0.01, changed: 0.001, rounding: .nearest)])
        #expect(found.outcome == outcome)
        // The share shown never reads like the other side of the threshold.
        #expect(found.text.contains("90 %") == (kept == 0.9))
        #expect(found.text.contains("\"rounding\": \"auto\" and \"scales\": \"base\"") == (outcome != .survived))
        #expect(found.text.contains("dequantize-merge") == (outcome != .survived))
    }

    @Test func aSurvivorIsPraisedPlainly() {
        let tensors = (0..<4).map {
            Sample.merged("t\($0)", kept: 0.98, error: 0.05, rounding: $0 == 0 ? .nearest : .stochastic)
        }
        #expect(
            verdict(tensors).text
                == "The adapter survived: 98 % of the update was kept; 3 of 4 tensors rounded stochastically.")
    }

    @Test func chanceIsNoReasonForAlarm() {
        // A small tensor that stochastic rounding left below the mean: named, without a remedy.
        let found = verdict([
            Sample.merged("big", kept: 0.98, error: 0.05, rounding: .stochastic),
            Sample.merged("small", shape: [8, 8], kept: 0.7, error: 0.05, rounding: .stochastic),
        ])
        #expect(found.outcome == .survived)
        #expect(found.sentences.last == "1 of 2 tensors kept less than 90 %: small, 70 %.")
    }

    @Test func aLostTensorAmongSurvivorsGetsARemedy() {
        let found = verdict([
            Sample.merged("big", shape: [4096, 4096], kept: 0.98, error: 0.05, rounding: .stochastic),
            Sample.merged("one", kept: 0.02, error: 0.01, rounding: .nearest),
            Sample.merged("two", kept: 0.03, error: 0.01, rounding: .nearest),
        ])
        #expect(found.outcome == .survived)
        #expect(found.text.contains("2 of 3 tensors kept less than 90 %, least: one, 2 %."))
        #expect(found.text.contains("\"rounding\": \"stochastic\""))
    }

    @Test func stochasticRoundingIsNotAdvisedTwice() {
        let found = verdict([Sample.merged("a", kept: 0.7, error: 0.05, changed: 0.5, rounding: .stochastic)])
        #expect(found.outcome == .thinned)
        #expect(!found.text.contains("\"rounding\""))
        #expect(found.text.contains("dequantize-merge"))
    }

    @Test(arguments: [
        (DType.bf16, "; \"dtype\": \"f16\" keeps more of it, \"f32\" all."), (.f16, "; \"dtype\": \"f32\" keeps it."),
        (.f8e4m3, "; \"dtype\": \"f16\" keeps more of it, \"f32\" all."), (.f32, "can tell apart."),
    ])
    func aDenseOutputNeedsAFinerType(dtype: DType, advice: String) {
        let found = verdict([Sample.merged("a", after: .dense(dtype), kept: 0.5, error: 0.001)])
        #expect(found.outcome == .thinned)
        #expect(found.text.hasSuffix(advice))
        #expect(!found.text.contains("merge-in-4bit"))
    }

    @Test func whatWas4BitInBetweenLostItThere() {
        let found = verdict([
            Sample.merged("a", after: .dense(.bf16), kept: 0.02, error: 0.01, rounding: .nearest)
        ])
        #expect(found.text.contains("give merge-in-4bit"))
    }

    @Test func withoutAnUpdateTheErrorSpeaks() {
        #expect(verdict([]).outcome == .untouched)
        #expect(verdict([Sample.untouched("a")]).text == "Every tensor was copied byte for byte.")
        let found = verdict([Sample.quantized("a", error: 0.094), Sample.untouched("b")])
        #expect(found.outcome == .converted)
        #expect(found.text == "1 of 2 tensors converted, with a relative error of 9.40 % (20.5 dB SQNR).")
        #expect(verdict([Sample.quantized("a", error: 0)]).text == "1 of 1 tensor converted, every value exact.")
    }

    @Test func anUpdateOfZerosIsNotErased() {
        let zero = TensorReport(
            name: "a", shape: [2], before: Sample.nf4, after: Sample.nf4,
            sums: sums(base: [1, 2], update: [0, 0], written: [1, 2]), codesChanged: 0, hasUpdate: true)
        #expect(verdict([zero]).outcome == .converted)
    }

    @Test func valuesThatBrokeAreCounted() {
        let broken = TensorReport(
            name: "a", shape: [3], before: Sample.bf16, after: .dense(.f16),
            sums: sums(base: [1, 1e6, .nan], written: [1, .infinity, .nan]))
        #expect(verdict([broken]).text.contains("1 value became NaN or infinite"))
        #expect(verdict([broken]).text.contains("1 value had no finite exact result"))
    }
}
