import Foundation
import LosslessJSON
import Testing

/// A Chromium process and the two pipes through which it takes commands of the DevTools protocol: JSON messages, each
/// followed by a zero byte. No port is opened.
///
/// Not for several threads at a time: the tests that share one run one after the other.
final class DevToolsPipe: @unchecked Sendable {
    /// The one of this process, which ends with it.
    static let shared: Result<DevToolsPipe, any Error> = Result {
        let executable = try #require(
            Browser.executable, "no Chromium found, and QCONV_REQUIRE_BROWSER is set: apt-get install chromium")
        atexit { (try? DevToolsPipe.shared.get())?.end() }
        return try DevToolsPipe(executable: executable)
    }

    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private let profile: URL
    private var received = Data()
    private var events: [JSONValue] = []
    private var lastIdentifier = 0
    /// How long an answer may take, generously: the machine may be busy with something else.
    private static let patience: Int32 = 60_000

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private init(executable: String) throws {
        // A browser that dies must fail a test, not end all of them.
        signal(SIGPIPE, SIG_IGN)
        profile = FileManager.default.temporaryDirectory.appendingPathComponent("qconv-browser-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: profile, withIntermediateDirectories: true)
        // Chromium reads commands from descriptor 3 and writes to 4; a shell puts the pipes there. Its sandbox needs
        // namespaces, which containers and the superuser do not have; the pages are our own.
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments =
            ["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", executable] + [
                "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
                "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--user-data-dir=\(profile.path)",
            ]
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        // Only the browser holds these ends now: when it goes, reading ends.
        try input.fileHandleForReading.close()
        try output.fileHandleForWriting.close()
    }

    private func end() {
        _ = try? call("Browser.close")
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: profile)
    }

    /// Sends a command and waits for its result. Events that come before are kept.
    func call(_ method: String, _ parameters: JSONValue = [:], session: String? = nil) throws -> JSONValue {
        lastIdentifier += 1
        var message: JSONValue = ["id": .int(lastIdentifier), "method": .string(method), "params": parameters]
        if let session { message["sessionId"] = .string(session) }
        try input.fileHandleForWriting.write(contentsOf: Data(message.serialized().utf8) + [0])
        while true {
            let answer = try receive()
            guard answer["id"]?.int == lastIdentifier else {
                if answer["method"] != nil { events.append(answer) }
                continue
            }
            if let error = answer["error"] {
                throw Failure(description: "\(method): \(error["message"]?.string ?? error.serialized())")
            }
            return answer["result"] ?? [:]
        }
    }

    /// The events that have come and not been taken yet.
    func takeEvents() -> [JSONValue] {
        defer { events = [] }
        return events
    }

    /// Waits for an event.
    func waitForEvent() throws {
        while events.isEmpty {
            let message = try receive()
            if message["method"] != nil { events.append(message) }
        }
    }

    private func receive() throws -> JSONValue {
        while true {
            if let end = received.firstIndex(of: 0) {
                let message = Data(received[received.startIndex..<end])
                received = Data(received[received.index(after: end)...])
                return try JSONValue(parsing: message)
            }
            let handle = output.fileHandleForReading
            var waiting = pollfd(fd: handle.fileDescriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, DevToolsPipe.patience) > 0 else {
                throw Failure(description: "the browser does not answer")
            }
            let data = handle.availableData
            guard !data.isEmpty else { throw Failure(description: "the browser has ended") }
            received += data
        }
    }
}
