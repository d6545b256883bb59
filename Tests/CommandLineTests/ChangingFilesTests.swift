import Foundation
import Testing

/// Files that another program writes while they are read.
@Suite struct ChangingFilesTests {
    /// A process that reads a file through a mapping of it must not die when the file shrinks.
    @Test func truncationEndsAComparisonWithAnError() throws {
        let workspace = try Workspace()
        for name in ["a.safetensors", "b.safetensors"] { try workspace.sparseModel(weights: 1 << 29, to: name) }
        let running = try RunningQConv(["diff", workspace.path("a.safetensors"), workspace.path("b.safetensors")])
        // It maps the file when it begins to read: a gigabyte, which takes it a while.
        let maps = "/proc/\(running.process.processIdentifier)/maps"
        let deadline = Date(timeIntervalSinceNow: 20)
        while running.process.isRunning, Date() < deadline {
            if try String(contentsOfFile: maps, encoding: .utf8).contains("b.safetensors") { break }
            Thread.sleep(forTimeInterval: 0.001)
        }
        let handle = try FileHandle(forWritingTo: workspace["b.safetensors"])
        try handle.truncate(atOffset: 4096)
        try handle.close()
        let run = try running.wait()
        #expect(!run.wasSignalled)
        #expect(run.status == 2)
        #expect(
            run.errors.contains("b.safetensors: the file ended too early; it changed while it was read"),
            "\(run.errors)")
    }
}
