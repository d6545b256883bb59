import Foundation
import Testing

/// One run of the built binary, as a user would run it.
struct QConvRun {
    let status: Int32
    /// Whether a signal ended the process; then `status` is its number.
    let wasSignalled: Bool
    let output: String
    let errors: String

    /// Runs `qconv` and waits for its end.
    init(_ arguments: [String], limits: String? = nil) throws {
        let running = try RunningQConv(arguments, limits: limits)
        self = try running.wait()
    }

    fileprivate init(process: Process, output: String, errors: String) {
        status = process.terminationStatus
        wasSignalled = process.terminationReason == .uncaughtSignal
        self.output = output
        self.errors = errors
    }
}

/// Runs `qconv`, which must succeed.
@discardableResult
func qconv(_ arguments: String...) throws -> QConvRun { try qconv(arguments) }

/// Runs `qconv`, which must succeed.
@discardableResult
func qconv(_ arguments: [String]) throws -> QConvRun {
    let run = try QConvRun(arguments)
    try #require(run.status == 0, "\(run.errors)")
    return run
}

/// A run that has started.
final class RunningQConv {
    let process = Process()
    private let directory: URL

    /// - Parameter limits: shell commands (`ulimit …`) to run first.
    init(_ arguments: [String], limits: String? = nil) throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("qconv-run-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let binary = try RunningQConv.binary
        if let limits {
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = ["-c", "\(limits); exec \"$0\" \"$@\"", binary.path] + arguments
        } else {
            process.executableURL = binary
            process.arguments = arguments
        }
        // Files, not pipes: a report longer than a pipe's buffer must not block the process.
        for name in ["out", "err"] {
            FileManager.default.createFile(atPath: directory.appendingPathComponent(name).path, contents: nil)
        }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: directory.appendingPathComponent("out"))
        process.standardError = try FileHandle(forWritingTo: directory.appendingPathComponent("err"))
        try process.run()
    }

    func wait() throws -> QConvRun {
        process.waitUntilExit()
        defer { try? FileManager.default.removeItem(at: directory) }
        func text(_ name: String) throws -> String {
            String(decoding: try Data(contentsOf: directory.appendingPathComponent(name)), as: UTF8.self)
        }
        return QConvRun(process: process, output: try text("out"), errors: try text("err"))
    }

    /// The binary that was built beside these tests.
    static var binary: URL {
        get throws {
            if let path = ProcessInfo.processInfo.environment["QCONV_BINARY"] { return URL(fileURLWithPath: path) }
            #if os(macOS)
            let products = Bundle(for: RunningQConv.self).bundleURL.deletingLastPathComponent()
            #else
            let products = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
            #endif
            let binary = products.appendingPathComponent("qconv")
            try #require(FileManager.default.isExecutableFile(atPath: binary.path), "no binary at \(binary.path)")
            return binary
        }
    }
}
