import Pipeline
import Reports
import Synchronization

/// Progress of a batch on standard error: a plain line when a pass begins and when it is certain what became of an adapter;
/// on a terminal also a line below them that is rewritten, with how far the pass is.
final class BatchProgress: Sendable {
    private let passes: Int
    private let isEnabled: Bool
    private let line: Mutex<ProgressLine?> = Mutex(nil)

    init(passes: Int, isEnabled: Bool) {
        self.passes = passes
        self.isEnabled = isEnabled
    }

    func show(_ event: BatchExecutor.Event) {
        guard isEnabled else { return }
        line.withLock { line in
            switch event {
            case .began(let pass, let adapters):
                let label = "pass \(pass + 1) of \(passes)"
                write("\(label): \(counted(adapters.count, "adapter"))", &line)
                line = ProgressLine(isEnabled: true, label: label)
            case .progress(_, let progress): line?.show(progress)
            case .settled(let adapter): write(BatchProgress.text(of: adapter), &line)
            }
        }
    }

    /// Removes the line that is rewritten.
    func clear() {
        line.withLock { $0?.clear() }
    }

    private func write(_ text: String, _ line: inout ProgressLine?) {
        line?.clear()
        StandardError.write(text + "\n")
    }

    private static func text(of adapter: BatchReport.Adapter) -> String {
        var text = "\(TerminalText.printable(adapter.path)): \(adapter.status.words)"
        if adapter.status == .converted, let kept = adapter.figures?.updateKept {
            text += ", \(NumberText.percentCutOff(kept)) of its update kept"
        }
        if let reason = adapter.reason { text += ": " + reason }
        return text
    }
}
