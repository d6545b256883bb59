import Foundation
import LosslessJSON
import TestSupport
import Testing

/// `qconv batch` as a user runs it.
@Suite struct BatchCommandTests {
    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
        try FileManager.default.copyItem(
            at: TinyLlama.directory.appendingPathComponent("adapters"), to: workspace["runs"])
        _ = try workspace.spec(
            input: TinyLlama.base4Bit,
            steps: #"{"op": "attach-adapter", "path": "{adapter}"}, {"op": "merge-in-4bit"}"#,
            output: #"{"path": "out/{name}"}"#)
    }

    private func batch(_ arguments: String...) throws -> QConvRun { try batch(arguments) }

    private func batch(_ arguments: [String]) throws -> QConvRun {
        try QConvRun(
            ["batch", workspace.path("spec.json"), "--adapters", workspace.path("runs/*")] + arguments)
    }

    /// The files below `out`, without records.
    private func outputs() throws -> [String: Data] {
        guard workspace.exists("out") else { return [:] }
        return try workspace.contents(of: "out").filter { !$0.key.hasPrefix(".") }
    }

    @Test func everyOutputIsThatOfAPipeline() throws {
        let reports = ["json", "csv", "html"].flatMap { ["--report", workspace.path("all.\($0)")] }
        let run = try batch(reports)
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.output.contains("Of 4 adapters: 4 converted."))
        // Piped progress is plain lines.
        #expect(run.errors.contains("pass 1 of 1: 4 adapters\n"))
        #expect(!run.errors.contains("\u{1B}"))
        let together = try outputs()
        for step in [50, 100, 150, 200] {
            let text = try batch("--print-spec", "checkpoint-\(step)").output
                .replacing("\"out/checkpoint", with: "\"alone/checkpoint")
            try workspace.write(text, to: "alone.json")
            let alone = try QConvRun(["pipeline", workspace.path("alone.json"), "--quiet"])
            #expect(alone.status == 0, "\(alone.errors)")
        }
        #expect(try workspace.contents(of: "alone") == together)
        let report = try JSONValue(parsing: Data(contentsOf: workspace["all.json"]))
        let schema = try JSONSchema(PackageFiles.json("formats/batch-report.schema.json"))
        #expect(try schema.violations(in: report).isEmpty)
        #expect(report["adapters"]?.array?.count == 4)
        #expect(try String(contentsOf: workspace["all.csv"], encoding: .utf8).split(separator: "\r\n").count == 5)
        #expect(try String(contentsOf: workspace["all.html"], encoding: .utf8).contains("checkpoint-150"))
    }

    /// The run that goes on with a quiet one tells what that has found.
    @Test func aQuietBatchHasFigures() throws {
        #expect(try batch("--quiet").status == 0)
        let next = try JSONValue(parsing: Data(batch("--json").output.utf8))
        for adapter in try #require(next["adapters"]?.array) {
            #expect(try #require(adapter["outputs"]?.array?.first?["update_kept"]?.double) > 0.5)
        }
    }

    @Test func nothingStartsWhenOneCannotWork() throws {
        try workspace.write("no adapter", to: "runs/notes/README")
        let refused = try batch()
        #expect(refused.status == 2)
        #expect(refused.errors.contains("runs/notes"))
        #expect(refused.errors.contains("--keep-going"))
        #expect(!workspace.exists("out"))
        let run = try batch("--keep-going")
        #expect(run.status == 2, "one was left out")
        #expect(run.output.contains("4 converted, 1 left out"))
        #expect(try outputs().count == 4 * 5)
    }

    @Test func aFailedGateIsStatusOne() throws {
        _ = try workspace.spec(
            input: TinyLlama.base4Bit,
            steps: #"{"op": "attach-adapter", "path": "{adapter}"}, {"op": "merge-in-4bit"}"#,
            output: #"{"path": "out/{name}"}"#, report: #"{"require": ["overall.update_ratio < 2%"]}"#)
        let run = try batch()
        #expect(run.status == 1)
        #expect(run.output.contains("1 converted, 3 refused by a gate"))
        #expect(try Set(outputs().keys.map { $0.prefix { $0 != "/" } }) == ["checkpoint-50"])
    }

    @Test func thePlanSaysWhatWouldBeDone() throws {
        let run = try batch("--plan", "--json")
        #expect(run.status == 0, "\(run.errors)")
        let plan = try JSONValue(parsing: run.output)
        #expect(plan["passes"]?.array?.map { $0.array?.count } == [4])
        #expect(plan["adapters"]?.array?.allSatisfy { $0["state"]?.string == "ready" } == true)
        #expect(!workspace.exists("out"))
    }

    @Test func theFullDiskOfOneIsTheMachines() throws {
        // No output is longer than its file may become.
        let run = try QConvRun(
            ["batch", workspace.path("spec.json"), "--adapters", workspace.path("runs/*")], limits: "ulimit -f 600")
        #expect(run.status == 3, "\(run.errors)")
        #expect(run.output.contains("4 failed"))
        #expect(!workspace.exists("out"))
    }

    @Test func anInterruptedBatchTellsWhatIsThere() throws {
        // Many passes of few adapters.
        for number in 1...60 {
            try FileManager.default.copyItem(
                at: workspace["runs/checkpoint-50"], to: workspace["runs/more-\(number)"])
        }
        let report = workspace.path("all.json")
        let running = try RunningQConv(
            ["batch", workspace.path("spec.json"), "--adapters", workspace.path("runs/*"), "--report", report]
                + ["--memory", "4500KiB", "--threads", "1"])
        let deadline = Date(timeIntervalSinceNow: 20)
        /// Whether an output is in place.
        func hasOutput() throws -> Bool {
            try workspace.exists("out") && workspace.names(in: "out").contains { !$0.hasPrefix(".") }
        }
        while try !hasOutput(), running.process.isRunning, Date() < deadline {
            Thread.sleep(forTimeInterval: 0.002)
        }
        kill(running.process.processIdentifier, SIGINT)
        let run = try running.wait()
        #expect(run.wasSignalled, "\(run.output)")
        #expect(run.output.contains("converted") && run.output.contains("not started"), "\(run.output)")
        #expect(!workspace.exists("all.json"))
    }

    /// Kills batches at random moments, each of which goes on where the one before was killed. QCONV_TEST_KILLS says how often.
    @Test func killedAtAnyMoment() throws {
        #expect(try batch("--quiet").status == 0)
        let expected = try outputs()
        let start = Date()
        try FileManager.default.removeItem(at: workspace["out"])
        #expect(try batch("--quiet").status == 0)
        let duration = Date().timeIntervalSince(start)
        let kills = ProcessInfo.processInfo.environment["QCONV_TEST_KILLS"].flatMap(Int.init) ?? 12
        var killed = 0
        var generator = SystemRandomNumberGenerator()
        for round in 0..<10 * kills where killed < kills {
            if try outputs() == expected || round == 0 { try FileManager.default.removeItem(at: workspace["out"]) }
            let running = try RunningQConv(
                ["batch", workspace.path("spec.json"), "--adapters", workspace.path("runs/*"), "--quiet"])
            Thread.sleep(forTimeInterval: .random(in: 0...duration, using: &generator))
            if running.process.isRunning { kill(running.process.processIdentifier, SIGKILL) }
            killed += try running.wait().wasSignalled ? 1 : 0
            // What stands under its name is whole.
            for (name, data) in try outputs() { #expect(data == expected[name], "\(name)") }
        }
        #expect(killed == kills)
        let last = try batch("--quiet")
        #expect(last.status == 0, "\(last.errors)")
        #expect(try outputs() == expected)
        #expect(try !workspace.names(in: "out").contains { $0.hasSuffix(".qconv-partial") })
    }
}

#if canImport(Glibc)
import Glibc
#endif
