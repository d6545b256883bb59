import Reports
import Tensors
import Workers

/// Runs a batch: its passes one after the other, the conversions of each pass together.
public struct BatchExecutor: Sendable {
    /// What a run has come to.
    public enum Event: Sendable {
        /// A pass begins.
        case began(pass: Int, adapters: [BatchAdapter])
        /// How far the pass is, in bytes of the input.
        case progress(pass: Int, PipelineExecutor.Progress)
        /// It is certain what became of an adapter.
        case settled(BatchReport.Adapter)
    }

    /// What came of a run.
    public struct Outcome: Sendable {
        public let report: BatchReport
        /// What went wrong for single adapters.
        public let errors: [any Error]
    }

    private let plan: BatchPlan
    private let options: PipelineOptions
    private let isCancelled: @Sendable () -> Bool
    private let onEvent: @Sendable (Event) -> Void

    /// - Parameters:
    ///   - isCancelled: Asked all the time; when it turns true, what is not in place yet is undone, and nothing else begins.
    ///   - onEvent: Called from any thread.
    public init(
        plan: BatchPlan, options: PipelineOptions, isCancelled: @escaping @Sendable () -> Bool = { false },
        onEvent: @escaping @Sendable (Event) -> Void = { _ in }
    ) {
        self.plan = plan
        self.options = options
        self.isCancelled = isCancelled
        self.onEvent = onEvent
    }

    /// Converts all adapters that are ready. What goes wrong for one is in its part of the report, and the others go on.
    ///
    /// Outputs, reports and record of an adapter are in place as soon as its pass is over.
    public func run() -> Outcome {
        let start = ContinuousClock.now
        let ledger = BatchLedger(plan, onSettled: { [onEvent] in onEvent(.settled($0)) })
        for item in plan.items where item.plan == nil { item.recordFile?.clearLeftovers() }
        for (number, pass) in plan.passes.enumerated() where !isCancelled() {
            run(pass, number: number, ledger)
        }
        return ledger.outcome(
            run: RunFacts(
                seconds: (ContinuousClock.now - start) / .seconds(1), peakMemoryBytes: peakMemory,
                threads: ResourcePlan.threadsAsked(options)))
    }

    private func run(_ pass: [Int], number: Int, _ ledger: BatchLedger) {
        let ready = pass.compactMap { item in plan.items[item].plan.map { (item: item, plan: $0) } }
        do {
            let passPlan = try PassPlan(ready.map(\.plan), options: options)
            onEvent(.began(pass: number, adapters: ready.map { plan.items[$0.item].adapter }))
            let executor = PipelineExecutor(
                pass: passPlan, options: options, isCancelled: isCancelled,
                announce: { [plan] index in try plan.items[ready[index].item].recordFile?.begin() },
                progress: { [onEvent] in onEvent(.progress(pass: number, $0)) })
            executor.runAll { index, result in
                settle(ready[index].item, ready[index].plan, result, ledger)
            }
        } catch {
            for (item, plan) in ready { settle(item, plan, .failure(error), ledger) }
        }
    }

    /// Puts the reports and the record of a conversion in place, or takes the record back.
    private func settle(
        _ item: Int, _ plan: PipelinePlan, _ result: Result<ConversionReport, any Error>, _ ledger: BatchLedger
    ) {
        let recordFile = self.plan.items[item].recordFile
        do {
            let report = try result.get()
            let failedGates = report.gates.filter { !$0.hasPassed }.map { $0.text(limit: 3) }
            let reason = failedGates.isEmpty ? nil : failedGates.joined(separator: "; ")
            guard !report.isDiscarded else {
                let figures = report.outputs.map { BatchFigures($0, bytes: nil) }
                try recordFile?.discard(figures: figures, failedGates: reason)
                return ledger.settle(item, .gateFailed, reason: reason, figures, details: report.outputs.last)
            }
            let outputs = try plan.model.outputs.map { try RecordedOutput(at: $0.spec.path) }
            let figures = zip(report.outputs, outputs).map { BatchFigures($0, bytes: $1.bytes) }
            try recordFile?.finish(outputs: outputs, figures: figures, failedGates: reason)
            ledger.settle(item, .converted, reason: reason, figures, details: report.outputs.last)
        } catch {
            // The failure is what counts; a record that stays makes the next run convert again.
            try? recordFile?.takeBack(plan)
            ledger.settle(item, failure: error)
        }
    }
}
