import Foundation
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// Ctrl-C at any moment leaves the destination as it was.
@Suite struct InterruptionTests {
    @Test(arguments: [SIGINT, SIGTERM])
    func nothingIsLeftBehind(signal: Int32) throws {
        let workspace = try Workspace()
        // Long enough to be interrupted: a sparse gigabyte.
        try workspace.sparseModel(weights: 1 << 29, to: "big.safetensors")
        let spec = try workspace.spec(input: "big.safetensors", steps: #"{"op": "cast", "dtype": "f32"}"#)
        let before = try workspace.names()

        let running = try RunningQConv(["pipeline", spec])
        let deadline = Date(timeIntervalSinceNow: 20)
        while try workspace.names() == before, running.process.isRunning, Date() < deadline {
            Thread.sleep(forTimeInterval: 0.002)
        }
        #expect(try workspace.names() != before, "the conversion should be writing by now")
        kill(running.process.processIdentifier, signal)
        let run = try running.wait()
        #expect(run.wasSignalled)
        #expect(run.status == signal)
        #expect(run.errors.contains("interrupted"))
        #expect(try workspace.names() == before)
    }

    @Test func whatAKilledRunLeftIsNoObstacle() throws {
        let workspace = try Workspace()
        let spec = try workspace.spec(input: TinyLlama.base16Bit, steps: #"{"op": "cast", "dtype": "f32"}"#)
        try workspace.write("half a model", to: ".out.qconv-partial/model.safetensors")
        let run = try QConvRun(["pipeline", spec, "--quiet"])
        #expect(run.status == 0, "\(run.errors)")
        #expect(try workspace.names() == ["out", "spec.json"])
    }
}
