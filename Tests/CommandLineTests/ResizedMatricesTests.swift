import Foundation
import LosslessJSON
import Testing

/// Matrices that get other rows on the way: one conversion beside the same steps in conversions of their own, where nothing but
/// what is stored goes from one to the next.
@Suite struct ResizedMatricesTests {
    private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent()
        .appendingPathComponent("Fixtures/adapter-kinds").path
    private static let head = "lm_head.weight"

    private let workspace: Workspace
    /// The base with a 4-bit head.
    private let base: String

    init() throws {
        workspace = try Workspace()
        base = workspace.path("base")
        _ = try convert(
            "\(ResizedMatricesTests.fixtures)/bases/own-head",
            [#"{"op": "quantize", "include": ["lm_head.weight", "*_proj.weight"]}"#],
            to: "base")
    }

    /// - Returns: What the report says of the head.
    private func convert(
        _ input: String, _ steps: [String], to output: String, _ arguments: String...
    ) throws -> JSONValue {
        let spec = try workspace.spec(
            input: input, steps: steps.joined(separator: ", "), output: #"{"path": "\#(output)"}"#)
        let run = try QConvRun(["pipeline", spec, "--json"] + arguments)
        #expect(run.status == 0, "\(run.errors)")
        let report = try JSONValue(parsing: Data(run.output.utf8))
        let tensors = report["outputs"]?.array?.first?["tensors"]?.array ?? []
        return try #require(tensors.first { $0["name"]?.string == ResizedMatricesTests.head })
    }

    private func weights(_ output: String) throws -> Data {
        try Data(contentsOf: workspace["\(output)/model.safetensors"])
    }

    private static func merge(rows: Int) -> [String] {
        [
            #"{"op": "attach-adapter", "path": "\#(fixtures)/adapters/plain", "vocab_size": \#(rows)}"#,
            #"{"op": "dequantize-merge"}"#,
        ]
    }

    /// Fewer rows, some more in the same chunk, and more than a chunk holds; by one thread too, whose memory holds what came before.
    @Test(arguments: [20, 43, 5000], [1, 2])
    func otherRowsThanA4BitMatrix(rows: Int, threads: Int) throws {
        let dequantize = #"{"op": "dequantize"}"#
        _ = try convert(base, [dequantize], to: "dense")
        let expected = try convert(workspace.path("dense"), ResizedMatricesTests.merge(rows: rows), to: "expected")
        let head = try convert(
            base, [dequantize] + ResizedMatricesTests.merge(rows: rows), to: "out", "--threads", "\(threads)")
        #expect(try weights("out") == weights("expected"))
        #expect(head["elements"] == .int(rows * 64))
        // 40 rows of 64 in the input: codes, a byte for each scale, and a float32 for all of them.
        #expect(head["bytes_before"] == .int(40 * 32 + 40 + 4))
        #expect(head["nonfinite_exact"] == .int(0))
        // New rows count with what they should be.
        let error = try #require(head["relative_error"]?.double)
        let dense = try #require(expected["relative_error"]?.double)
        #expect(error < 0.01 && dense < 0.01)
    }

    @Test(arguments: [20, 43, 5000])
    func quantizedWithOtherRows(rows: Int) throws {
        let quantize = #"{"op": "quantize", "include": ["lm_head.weight", "*_proj.weight"]}"#
        _ = try convert(base, [#"{"op": "dequantize"}"#] + ResizedMatricesTests.merge(rows: rows), to: "dense")
        _ = try convert(workspace.path("dense"), [quantize], to: "expected")
        let head = try convert(
            base, [#"{"op": "dequantize"}"#] + ResizedMatricesTests.merge(rows: rows) + [#"{"op": "requantize"}"#],
            to: "out")
        #expect(try weights("out") == weights("expected"))
        let changed = try #require(head["codes_changed"]?.double)
        #expect(0...1 ~= changed)
        // Rows that the base does not have are not the base's.
        #expect(changed >= Double(max(rows - 40, 0)) / Double(rows))
    }

    /// Codes of other blocks stand for other values.
    @Test func codesOfOtherBlocksAreNotCompared() throws {
        let head = try convert(base, [#"{"op": "requantize", "blocksize": 128}"#], to: "out")
        #expect(head["codes_changed"] == .null)
        let same = try convert(base, [#"{"op": "requantize"}"#], to: "same")
        #expect(same["codes_changed"]?.double != nil)
    }
}
