import Pipeline
import Reports
import Synchronization

/// Progress on a terminal: bytes, rate and time left, on one line that is rewritten. Nothing when piped.
final class ProgressLine: Sendable {
    private struct State {
        var lastShown: ContinuousClock.Instant?
        var isShown = false
    }

    private let isEnabled: Bool
    /// What stands before the figures.
    private let label: String
    private let start = ContinuousClock.now
    private let state = Mutex(State())

    init(isEnabled: Bool, label: String = "") {
        self.label = label.isEmpty ? "" : label + ": "
        self.isEnabled = isEnabled && StandardError.isTerminal
    }

    /// Shows how far the conversion is, ten times a second at most.
    func show(_ progress: PipelineExecutor.Progress) { show(done: progress.done, total: progress.total) }

    /// Shows how many of all bytes are done, ten times a second at most.
    func show(done: Int, total: Int) {
        guard isEnabled else { return }
        state.withLock { state in
            let now = ContinuousClock.now
            if let last = state.lastShown, now - last < .milliseconds(100), done < total { return }
            state.lastShown = now
            state.isShown = true
            let seconds = max((now - start) / .seconds(1), 1e-3)
            let rate = Double(done) / seconds
            let left = rate > 0 ? Double(total - done) / rate : 0
            StandardError.writeAsIs(
                "\r\u{1B}[K\(label)\(NumberText.bytes(done)) of \(NumberText.bytes(total)), \(NumberText.bytes(Int(rate)))/s, \(NumberText.duration(seconds: left)) left"
            )
        }
    }

    /// Removes the line.
    func clear() {
        state.withLock { state in
            if state.isShown { StandardError.writeAsIs("\r\u{1B}[K") }
            state.isShown = false
        }
    }
}
