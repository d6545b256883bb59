import Foundation
import LosslessJSON
import Testing

/// Quantizing the bf16 model in examples/ beside the checkpoint that transformers and bitsandbytes made of it.
@Suite struct BitsAndBytesAgreementTests {
    @Test func quantizingTinyLlamaGivesBitsAndBytesCheckpoint() throws {
        let workspace = try Workspace()
        let spec = try workspace.spec(input: TinyLlama.base16Bit, steps: #"{"op": "quantize"}"#)
        let run = try QConvRun(["pipeline", spec, "--quiet"])
        try #require(run.status == 0, "\(run.errors)")
        let ours = try StoredTensors(workspace["out/model.safetensors"])
        let theirs = try StoredTensors(URL(fileURLWithPath: TinyLlama.base4Bit + "/model.safetensors"))
        #expect(Set(ours.tensors.keys) == Set(theirs.tensors.keys))

        var codesOfScales = 0
        var differentCodesOfScales = 0
        for (name, tensor) in theirs.tensors {
            let mine = try #require(ours[name])
            #expect(mine.dtype == tensor.dtype && mine.shape == tensor.shape, "\(name)")
            let weight = name.components(separatedBy: ".weight")[0]
            // The float32 mean behind nested_offset may differ in its last bit, and what follows from it with it.
            let offsets = try offsets(of: weight + ".weight", ours, theirs)
            if offsets.0 == offsets.1 || !(name.hasSuffix("absmax") || name.contains("quant_state")) {
                #expect(mine == tensor, "\(name)")
            } else if name.hasSuffix(".absmax") {
                codesOfScales += tensor.data.count
                differentCodesOfScales += differences(Array(mine.data), Array(tensor.data))
            } else if name.hasSuffix("nested_absmax") {
                #expect(zip(mine.floats, tensor.floats).allSatisfy { abs($0 - $1) <= 2 * $1.ulp + abs(offsets.1).ulp })
            }
            #expect(abs(offsets.0 - offsets.1) <= offsets.1.ulp, "\(name)")
        }
        #expect(differentCodesOfScales * 1000 <= codesOfScales)
    }

    /// The offset of a weight's double quantization in both files; 0 for a dense tensor.
    private func offsets(of weight: String, _ ours: StoredTensors, _ theirs: StoredTensors) throws -> (Float, Float) {
        func offset(_ stored: StoredTensors) throws -> Float {
            guard let state = stored[weight + ".quant_state.bitsandbytes__nf4"] else { return 0 }
            return Float(try #require(try JSONValue(parsing: state.data)["nested_offset"]?.double))
        }
        return (try offset(ours), try offset(theirs))
    }
}
