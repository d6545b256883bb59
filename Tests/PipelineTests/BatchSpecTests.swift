import Foundation
import LosslessJSON
import Pipeline
import SystemPackage
import Testing

@testable import Tensors

/// How the spec of a batch is filled in, and what its author is told when it cannot be.
@Suite final class BatchSpecTests {
    private let directory: URL

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("qconv-\(UUID().uuidString)")
        for name in ["a/checkpoint-200", "a/checkpoint-50", "b/checkpoint-50", "b/last [1]", ".hidden"] {
            try FileManager.default.createDirectory(
                at: directory.appendingPathComponent("runs/\(name)"), withIntermediateDirectories: true)
        }
        try Data("log".utf8).write(to: directory.appendingPathComponent("runs/a/checkpoint.log"))
    }

    deinit {
        try? FileManager.default.removeItem(at: directory)
    }

    private func spec(
        adapters: String = #"["runs/*/checkpoint-*"]"#, attach: String = "{adapter}",
        output: String = "out/{parent}-{name}",
        overrides: BatchSpec.Overrides = .init()
    ) throws -> BatchSpec {
        let text = """
            {"input": "base", "steps": [{"op": "attach-adapter", "path": "\(attach)"}, {"op": "merge-in-4bit"}],
             "output": {"path": "\(output)"}, "batch": {"adapters": \(adapters)}}
            """
        return try BatchSpec(
            text: text.utf8, file: FilePath(directory.appendingPathComponent("batch.json").path), overrides: overrides)
    }

    private func message(_ body: @autoclosure () throws -> some Any) -> String {
        do {
            _ = try body()
            return "accepted"
        } catch {
            return "\(error)"
        }
    }

    @Test func adaptersComeInTheOrderInWhichPeopleCount() throws {
        let adapters = try spec().adapters
        #expect(
            adapters.map(\.path) == ["runs/a/checkpoint-50", "runs/a/checkpoint-200", "runs/b/checkpoint-50"])
        #expect(adapters.map(\.index) == [1, 2, 3])
        #expect(adapters.map(\.name) == ["checkpoint-50", "checkpoint-200", "checkpoint-50"])
        #expect(adapters.map(\.parent) == ["a", "a", "b"])
    }

    @Test func fieldsAreFilledIn() throws {
        let batch = try spec(output: "{{{name}}}/{parent}.{index}")
        let filled = try batch.spec(for: batch.adapters[2])
        #expect(filled.normalized["steps"]?.array?[0]["path"]?.string == "runs/b/checkpoint-50")
        #expect(filled.output?.pathInSpec == "{checkpoint-50}/b.3")
    }

    @Test func fieldsAreFilledInWithinCombinations() throws {
        let text = """
            {"input": "base", "steps": [
              {"op": "attach-adapter", "adapters": [{"path": "{adapter}"}, {"path": "style/{name}", "weight": 0.5}],
               "combination": "cat"},
              {"op": "merge-in-4bit"}],
             "output": {"path": "out/{index}"}, "batch": {"adapters": ["runs/*/checkpoint-*"]}}
            """
        let batch = try BatchSpec(
            text: text.utf8, file: FilePath(directory.appendingPathComponent("batch.json").path))
        let list = try batch.spec(for: batch.adapters[1]).normalized["steps"]?.array?[0]["adapters"]?.array
        #expect(list?.map { $0["path"]?.string } == ["runs/a/checkpoint-200", "style/checkpoint-200"])
        #expect(list?[1]["weight"]?.double == 0.5)
    }

    @Test func aPathCountsAsItStands() throws {
        #expect(try spec(adapters: #"["runs/b/last [1]"]"#).adapters.map(\.path) == ["runs/b/last [1]"])
    }

    @Test func twoPatternsOneAdapter() throws {
        #expect(try spec(adapters: #"["runs/a/*", "runs/*/checkpoint-200"]"#).adapters.count == 2)
    }

    @Test func theCommandLineReplacesTheSpec() throws {
        var overrides = BatchSpec.Overrides()
        overrides.adapters = [directory.appendingPathComponent("runs/a/checkpoint-50").path]
        overrides.output = "/elsewhere/{name}"
        overrides.reports = ["/elsewhere/all.html"]
        let batch = try spec(overrides: overrides)
        #expect(batch.adapters.count == 1)
        #expect(try batch.spec(for: batch.adapters[0]).output?.path == "/elsewhere/checkpoint-50")
        #expect(batch.report.html == "/elsewhere/all.html")
    }

    @Test func mistakesAreNamed() {
        #expect(message(try spec(adapters: #"["runs/c/*"]"#)).contains("there is \"runs\", but nothing in it"))
        #expect(message(try spec(adapters: #"["nowhere"]"#)).contains("\"nowhere\" matches no adapter"))
        #expect(message(try spec(attach: "runs/a/checkpoint-50")).contains("no step attaches the adapters"))
        var overrides = BatchSpec.Overrides()
        overrides.reports = ["summary.txt"]
        #expect(message(try spec(overrides: overrides)).contains("let it end in .json, .csv or .html"))
        func filled(_ output: String) throws -> PipelineSpec {
            let batch = try spec(output: output)
            return try batch.spec(for: batch.adapters[0])
        }
        #expect(message(try filled("out/{nane}")).contains("unknown field {nane}; did you mean {name}?"))
        #expect(message(try filled("out/{name")).contains("a brace without its counterpart"))
        #expect(message(try filled("out/name}")).contains("a brace without its counterpart"))
    }

    @Test func anOrdinaryRunRefusesABatch() {
        let text = #"{"input": "base", "steps": [], "output": {"path": "o"}, "batch": {"adapters": ["a"]}}"#
        #expect(message(try PipelineSpec(text: text.utf8, file: "s.json")).contains("run it with \"qconv batch\""))
    }

    @Test func naturalOrderIsAnOrder() {
        let sorted = [
            "", "1", "01", "2", "10", "a", "a1", "a01", "a1b", "a2", "a10", "a10b", "b", "checkpoint-50",
            "checkpoint-200",
        ]
        for (i, left) in sorted.enumerated() {
            for (j, right) in sorted.enumerated() {
                #expect(NaturalOrder.precedes(left, right) == (i < j), "\(left) and \(right)")
            }
        }
    }
}
