import LosslessJSON
import Pipeline
import SystemPackage
import Testing

/// What a spec must look like, and what its author is told when it does not.
@Suite struct PipelineSpecTests {
    private func spec(_ text: String) throws -> PipelineSpec {
        try PipelineSpec(text: text.utf8, file: "conversions/spec.json")
    }

    /// The message for a spec that is wrong in one place.
    private func message(_ text: String) -> String {
        do {
            _ = try spec(text)
            return "accepted"
        } catch {
            return "\(error)"
        }
    }

    private func message(step: String) -> String {
        message(#"{"input": "base", "steps": [\#(step)], "output": {"path": "out"}}"#)
    }

    @Test func defaultsAreFilledIn() throws {
        let spec = try spec(
            #"""
            {"input": "base", "steps": [{"op": "quantize"}, {"op": "attach-adapter", "path": "a"},
             {"op": "merge-in-4bit"}, {"op": "cast", "dtype": "bf16"}], "output": {"path": "out"}}
            """#)
        let expected = try JSONValue(
            parsing: #"""
                {"input": "base", "steps": [
                  {"op": "quantize", "quant_type": "nf4", "blocksize": 64, "double_quant": true, "rounding": "nearest"},
                  {"op": "attach-adapter", "path": "a", "weight": 1.0},
                  {"op": "merge-in-4bit", "rounding": "auto", "scales": "base", "seed": 0},
                  {"op": "cast", "dtype": "bf16"}],
                 "output": {"path": "out"}}
                """#)
        #expect(spec.normalized == expected)
    }

    @Test func relativePathsAreRelativeToTheSpec() throws {
        let spec = try spec(
            #"{"input": "base", "steps": [], "output": {"path": "/abs/out"}, "report": {"json": "r.json"}}"#)
        #expect(spec.input == "conversions/base")
        #expect(spec.output?.path == "/abs/out")
        #expect(spec.report.json == "conversions/r.json")
    }

    @Test func stepAndKeyAreNamed() {
        #expect(
            message(step: #"{"op": "merge-in-4bit", "rouding": "auto"}"#)
                == #"conversions/spec.json: step 1 (merge-in-4bit): unknown key "rouding"; did you mean "rounding"? keys here: op, rounding, scales and seed"#
        )
        #expect(
            message(step: #"{"op": "merge-in-4bit", "rounding": "up"}"#)
                == #"conversions/spec.json: step 1 (merge-in-4bit): "rounding" is "up"; it must be "nearest", "stochastic" or "auto""#
        )
        #expect(
            message(step: #"{"op": "quantise"}"#).contains(#"step 1: unknown op "quantise"; did you mean "quantize"?"#))
        #expect(message(step: #"{"op": "attach-adapter"}"#).contains(#"the key "path" is missing"#))
        #expect(message(step: #""quantize""#).contains("step 1: must be an object, not a string"))
        #expect(message(step: #"{"path": "a"}"#).contains(#"step 1: the key "op" is missing"#))
    }

    @Test(arguments: [
        (#"{"op": "quantize", "blocksize": 48}"#, "it must be 32, 64, 128, 256, 512, 1024, 2048 or 4096"),
        (#"{"op": "quantize", "double_quant": 1}"#, "it must be true or false"),
        (#"{"op": "quantize", "seed": -1}"#, "it must be a whole number, 0 or more"),
        (#"{"op": "quantize", "seed": 1.5}"#, "it must be a whole number, 0 or more"),
        (#"{"op": "quantize", "include": "a"}"#, "it must be a list of strings"),
        (#"{"op": "quantize", "include": []}"#, "it must be a list of strings"),
        (#"{"op": "attach-adapter", "path": "a", "weight": "1"}"#, "it must be a number"),
        (
            #"{"op": "attach-adapter", "path": "a", "weight": 1e300}"#,
            #""weight" is 1e+300; it must be a number that float32"#
        ),
        (
            #"{"op": "attach-adapter", "combination": "cat", "adapters": [{"path": "a"}, {"path": "b", "weight": -1e39}]}"#,
            #""adapters" 2: "weight" is -1e+39; it must be"#
        ),
        (#"{"op": "quantize", "seed": 5}"#, #""seed" has no effect with "rounding": "nearest"; drop it"#),
        (
            #"{"op": "merge-in-4bit", "rounding": "nearest", "seed": 0}"#,
            #""seed" has no effect with "rounding": "nearest"; drop it"#
        ),
        (#"{"op": "attach-adapter", "path": ""}"#, "it must be a non-empty string"),
        (#"{"op": "cast"}"#, #"it must be "bf16", "f16" or "f32""#),
        (#"{"op": "save", "path": "a", "format": "gguf"}"#, #""nf4" or "patch""#),
        (#"{"op": "save", "path": "a", "max_shard_size": "5 parsecs"}"#, "max_shard_size"),
        (#"{"op": "save", "path": "a", "max_shard_size": 0}"#, "it must be a size"),
        (#"{"op": "save", "path": "a", "max_shard_size": "0"}"#, "it must be above 0"),
        (#"{"op": "save", "path": "a", "max_shard_size": "0GB"}"#, "it must be above 0"),
    ])
    func wrongValuesAreToldWhatWouldBeRight(step: String, expected: String) {
        #expect(message(step: step).contains(expected))
    }

    @Test(arguments: [
        ("", "not valid JSON: the text ends too early (line 1, column 1)"),
        ("[]", "spec: must be an object, not a list"),
        (#"{"input": "b", "steps": [], "output": {"path": "o"}, "input": "c"}"#, #"the key "input" stands twice"#),
        (#"{"steps": [], "output": {"path": "o"}}"#, #"the key "input" is missing"#),
        (#"{"input": "b", "output": {"path": "o"}}"#, #"the key "steps" is missing"#),
        (#"{"input": "b", "steps": []}"#, "nothing would be written"),
        (#"{"input": "b", "steps": [], "output": {}}"#, #"spec, "output": the key "path" is missing"#),
        (#"{"input": "b", "steps": [], "output": "o"}"#, #""output" is "o"; it must be an object"#),
        (#"{"input": "b", "steps": [], "output": {"path": "o"}, "report": {"xml": "r"}}"#, #"unknown key "xml""#),
    ])
    func wrongDocumentsAreRefused(text: String, expected: String) {
        #expect(message(text).contains(expected))
    }
}
