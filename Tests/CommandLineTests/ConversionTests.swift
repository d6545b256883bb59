import Foundation
import LosslessJSON
import TestSupport
import Testing

/// Whole conversions of the real model in examples/, through the built binary.
@Suite struct ConversionTests {
    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
    }

    private func convert(_ spec: String, _ arguments: [String] = []) throws -> JSONValue {
        let run = try QConvRun(["pipeline", spec, "--json"] + arguments)
        try #require(run.status == 0, "\(run.errors)")
        return try JSONValue(parsing: run.output)
    }

    private let merge = #"{"op": "merge-in-4bit"}"#

    @Test(arguments: [
        #"{"op": "merge-in-4bit"}"#,
        #"{"op": "merge-in-4bit", "rounding": "stochastic", "scales": "fresh", "seed": 7}"#,
        #"{"op": "dequantize-merge"}, {"op": "requantize", "blocksize": 128, "rounding": "stochastic"}"#,
        #"{"op": "dequantize-merge", "dtype": "f32"}, {"op": "save", "path": "saved"}, {"op": "cast", "dtype": "f16"}"#,
    ])
    func bytesDoNotDependOnThreadsOrMemory(steps: String) throws {
        var results: [[String: Data]] = []
        var reports: [JSONValue] = []
        for arguments in [["--threads", "1"], ["--threads", "2"], ["--threads", "7"], ["--memory", "6MB"]] {
            let spec = try workspace.spec(input: TinyLlama.base4Bit, steps: TinyLlama.attach(200) + ", " + steps)
            var report = try convert(spec, arguments + ["--force"])
            report["run"] = nil
            reports.append(report)
            var files = try workspace.contents(of: "out")
            if workspace.exists("saved") {
                files.merge(try workspace.contents(of: "saved").map { ("saved/" + $0.key, $0.value) }) { $1 }
            }
            results.append(files)
        }
        #expect(results.allSatisfy { $0 == results[0] })
        #expect(reports.allSatisfy { $0 == reports[0] })
        #expect(results[0].keys.contains("model.safetensors"))
    }

    @Test func anotherSeedGivesOtherCodes() throws {
        func codes(seed: Int) throws -> Data {
            let spec = try workspace.spec(
                input: TinyLlama.base4Bit,
                steps: TinyLlama.attach(200) + #", {"op": "merge-in-4bit", "rounding": "stochastic", "seed": \#(seed)}"#
            )
            _ = try convert(spec, ["--force"])
            return try Data(contentsOf: workspace["out/model.safetensors"])
        }
        let first = try codes(seed: 1)
        #expect(try codes(seed: 1) == first)
        #expect(try codes(seed: 2) != first)
    }

    @Test func withoutStepsTheModelIsCopiedByteForByte() throws {
        let spec = try workspace.spec(input: TinyLlama.base4Bit, steps: "")
        let report = try convert(spec)
        #expect(try workspace.contents(of: "out") == Workspace.contents(of: URL(fileURLWithPath: TinyLlama.base4Bit)))
        let tensors = try #require(report["outputs"]?.array?.first?["tensors"]?.array)
        #expect(tensors.allSatisfy { $0["relative_error"]?.double == 0 })
    }

    @Test func aZeroUpdateChangesNothing() throws {
        for rounding in ["nearest", "stochastic", "auto"] {
            let spec = try workspace.spec(
                input: TinyLlama.base4Bit,
                steps:
                    #"{"op": "attach-adapter", "path": "\#(TinyLlama.adapter(200))", "weight": 0}, {"op": "merge-in-4bit", "rounding": "\#(rounding)"}"#
            )
            _ = try convert(spec, ["--force"])
            #expect(
                try Data(contentsOf: workspace["out/model.safetensors"])
                    == Data(contentsOf: URL(fileURLWithPath: TinyLlama.base4Bit + "/model.safetensors")), "\(rounding)")
        }
    }

    @Test func nearestErasesAndAutoKeeps() throws {
        func updateKept(_ rounding: String) throws -> Double {
            let spec = try workspace.spec(
                input: TinyLlama.base4Bit,
                steps: TinyLlama.attach(50) + #", {"op": "merge-in-4bit", "rounding": "\#(rounding)"}"#)
            let report = try convert(spec, ["--force"])
            return try #require(report["outputs"]?.array?.first?["summary"]?["update_kept"]?["overall"]?.double)
        }
        #expect(try updateKept("nearest") < 0.5)
        #expect(try updateKept("auto") > 0.95)
        #expect(try updateKept("stochastic") > 0.95)
    }

    @Test func severalAdaptersAreSummedBeforeRounding() throws {
        // The same adapter twice with half its weight is the adapter itself, up to the order of additions.
        func merged(_ attach: String) throws -> Data {
            let spec = try workspace.spec(
                input: TinyLlama.base4Bit, steps: attach + #", {"op": "dequantize-merge", "dtype": "bf16"}"#)
            _ = try convert(spec, ["--force"])
            return try Data(contentsOf: workspace["out/model.safetensors"])
        }
        let half = #"{"op": "attach-adapter", "path": "\#(TinyLlama.adapter(100))", "weight": 0.5}"#
        let once = try merged(TinyLlama.attach(100))
        let twice = try merged(half + ", " + half)
        let different = zip(once, twice).filter { $0 != $1 }.count
        #expect(once.count == twice.count)
        #expect(different * 10_000 < once.count)
    }

    @Test func saveLeavesTheModelAsItWasAtThatPoint() throws {
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit,
            steps: TinyLlama.attach(200)
                + #", {"op": "dequantize-merge", "dtype": "bf16"}, {"op": "save", "path": "saved", "max_shard_size": "1MB"}, {"op": "requantize"}"#
        )
        let report = try convert(spec)
        #expect(report["outputs"]?.array?.count == 2)
        let index = try JSONValue(parsing: Data(contentsOf: workspace["saved/model.safetensors.index.json"]))
        let shards = try workspace.names(in: "saved").filter { $0.hasSuffix(".safetensors") }
        #expect(shards.count == 4)
        let map = try #require(index["weight_map"]?.object)
        #expect(Set(map.values.compactMap(\.string)) == Set(shards))
        #expect(map["model.embed_tokens.weight"] != nil)
        // bf16: two bytes for each of the model's parameters.
        #expect(index["metadata"]?["total_size"]?.int == 1_771_200 * 2)

        let alone = try workspace.spec(
            input: "saved", steps: #"{"op": "quantize"}"#, output: #"{"path": "requantized"}"#)
        _ = try convert(alone)
        #expect(
            try Data(contentsOf: workspace["requantized/model.safetensors"])
                == Data(contentsOf: workspace["out/model.safetensors"]))
    }

    @Test func configurationFollowsTheEncoding() throws {
        func configuration(of directory: String) throws -> JSONValue {
            try JSONValue(parsing: Data(contentsOf: workspace["\(directory)/config.json"]))
        }
        var spec = try workspace.spec(
            input: TinyLlama.base4Bit, steps: #"{"op": "dequantize", "dtype": "f16"}, {"op": "cast", "dtype": "f16"}"#)
        _ = try convert(spec)
        let dense = try configuration(of: "out")
        #expect(dense["quantization_config"] == nil)
        #expect(dense["dtype"] == "float16")
        spec = try workspace.spec(
            input: TinyLlama.base16Bit, steps: #"{"op": "quantize", "quant_type": "fp4", "double_quant": false}"#,
            output: #"{"path": "fp4"}"#)
        _ = try convert(spec)
        let quantization = try #require(try configuration(of: "fp4")["quantization_config"])
        #expect(quantization["bnb_4bit_quant_type"] == "fp4")
        #expect(quantization["bnb_4bit_use_double_quant"] == false)
        #expect(quantization["load_in_4bit"] == true)
        #expect(try workspace.names(in: "fp4").contains("tokenizer.json"))
    }

    @Test func planReadsHeadersOnlyAndWritesNothing() throws {
        let spec = try workspace.spec(input: TinyLlama.base4Bit, steps: TinyLlama.attach(200) + ", " + merge)
        let before = try workspace.names()
        let text = try QConvRun(["pipeline", spec, "--plan"])
        #expect(text.status == 0, "\(text.errors)")
        #expect(text.output.contains("28 of 28 modules matched"))
        #expect(text.output.contains("scaling 2"))
        let json = try QConvRun(["pipeline", spec, "--plan", "--json"])
        let plan = try JSONValue(parsing: json.output)
        #expect(plan["adapters"]?.array?.first?["modules"]?.array?.count == 28)
        #expect(plan["tensors"]?.array?.count == 38)
        #expect(try workspace.names() == before)
    }

    @Test func reportsAreWrittenAndFollowTheirSchema() throws {
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit, steps: TinyLlama.attach(200) + ", " + merge,
            report: #"{"json": "reports/r.json", "csv": "reports/r.csv"}"#)
        let run = try QConvRun(["pipeline", spec, "--hash"])
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.output.contains("update"))
        let report = try JSONValue(parsing: Data(contentsOf: workspace["reports/r.json"]))
        let schema = try JSONSchema(PackageFiles.json("formats/report.schema.json"))
        #expect(schema.violations(in: report).isEmpty)
        #expect(report["inputs"]?.array?.first?["sha256"]?.string?.count == 64)
        let rows = String(decoding: try Data(contentsOf: workspace["reports/r.csv"]), as: UTF8.self)
        #expect(rows.split(whereSeparator: \.isNewline).count == 39)
    }

    @Test func twoGigabytesTakeLittleMemory() throws {
        let rows = 1 << 18
        let columns = 4096
        try workspace.safetensors(
            #"{"model.up_proj.weight":{"dtype":"BF16","shape":[\#(rows),\#(columns)],"data_offsets":[0,\#(rows * columns * 2)]}}"#,
            data: Data(), to: "big.safetensors")
        let handle = try FileHandle(forWritingTo: workspace["big.safetensors"])
        try handle.truncate(atOffset: try handle.seekToEnd() + UInt64(rows * columns * 2))
        try handle.close()
        let spec = try workspace.spec(
            input: "big.safetensors", steps: #"{"op": "quantize"}"#, output: #"{"path": "out.safetensors"}"#)
        let report = try convert(spec)
        let peak = try #require(report["run"]?["peak_memory_bytes"]?.int)
        #expect(peak < 200 << 20)
    }

    @Test func anAdapterAttachedTwiceIsToldOf() throws {
        let twice = try workspace.spec(
            input: TinyLlama.base4Bit,
            steps: [TinyLlama.attach(50), TinyLlama.attach(50), merge].joined(separator: ", "))
        let warnings = try convert(twice)["warnings"]?.array?.compactMap(\.string) ?? []
        #expect(warnings.count == 1 && warnings[0].contains("step 2 (attach-adapter)"))
        #expect(warnings.first?.contains("is attached already") == true)
        let different = try workspace.spec(
            input: TinyLlama.base4Bit,
            steps: [TinyLlama.attach(50), TinyLlama.attach(100), merge].joined(separator: ", "))
        #expect(try convert(different, ["--force"])["warnings"]?.array == [])
    }

    /// The kernel remembers how large the process was that started this one.
    @Test func peakMemoryIsTheProcesssOwn() throws {
        let ballast = [UInt8](repeating: 1, count: 300 << 20)
        let spec = try workspace.spec(input: TinyLlama.base4Bit, steps: TinyLlama.attach(50) + ", " + merge)
        let peak = try withExtendedLifetime(ballast) {
            try #require(convert(spec)["run"]?["peak_memory_bytes"]?.int)
        }
        #expect(peak > 4 << 20 && peak < 200 << 20)
    }
}
