import OrderedCollections
import Reports
import Synchronization
import Workers

/// Keeps account of what becomes of the adapters of a batch.
final class BatchLedger: Sendable {
    private struct State {
        var settled: [Int: BatchReport.Adapter] = [:]
        var errors: [any Error] = []
    }

    private let plan: BatchPlan
    private let state = Mutex(State())
    private let onSettled: @Sendable (BatchReport.Adapter) -> Void

    /// Begins with what is certain before anything runs.
    init(_ plan: BatchPlan, onSettled: @escaping @Sendable (BatchReport.Adapter) -> Void) {
        self.plan = plan
        self.onSettled = onSettled
        for (index, item) in plan.items.enumerated() {
            switch item.state {
            case .ready: continue
            case .finished(let record):
                settle(index, .unchanged, reason: record.failedGates, record.figures)
            case .unusable(let error):
                settle(index, .leftOut, reason: "\(error)", error: error)
            }
        }
    }

    /// - Parameters:
    ///   - reason: Why there are no outputs, or which gates failed.
    ///   - figures: Of each output.
    ///   - details: Of the last output.
    func settle(
        _ item: Int, _ status: BatchReport.Status, reason: String? = nil, _ figures: [BatchFigures] = [],
        details: OutputReport? = nil, error: (any Error)? = nil
    ) {
        let adapter = BatchReport.Adapter(
            path: plan.items[item].adapter.path, status: status, reason: reason, outputs: figures, details: details)
        state.withLock { state in
            state.settled[item] = adapter
            if let error { state.errors.append(error) }
        }
        onSettled(adapter)
    }

    func settle(_ item: Int, failure: any Error) {
        guard !(failure is Interrupted) else { return settle(item, .interrupted) }
        settle(item, .failed, reason: "\(failure)", error: failure)
    }

    /// What is certain now; what has not been settled has not been started.
    func outcome(run: RunFacts?) -> BatchExecutor.Outcome {
        let state = state.withLock { $0 }
        let adapters = plan.items.enumerated().map { index, item in
            state.settled[index] ?? BatchReport.Adapter(path: item.adapter.path, status: .notStarted)
        }
        let warnings = OrderedSet(plan.items.compactMap(\.plan).flatMap(\.model.warnings))
        return BatchExecutor.Outcome(
            report: BatchReport(
                toolVersion: qconvVersion, input: plan.input, adapters: adapters, passes: plan.passes.count,
                warnings: Array(warnings), run: run),
            errors: state.errors)
    }

}
