import Checkpoints
import Quantization
import Reports
import Workers

/// One model on its way through a pass over the input: what is done to its tensors, and where the results go.
///
/// A pipeline is a pass with one branch. A batch has one for each adapter; they share what is read and decoded and nothing
/// else: each gives the bytes and the figures that it would give alone.
final class Branch: Sendable {
    let plan: PipelinePlan
    /// The files that are read.
    let inputs: [InputFingerprint]
    /// One writer an output of the plan. None is put in place before all are complete, and the reports are written.
    let writers: [any CheckpointWriter]
    /// What must be done before an output is in place.
    private let announcement: BackgroundTask<Void>?

    init(
        plan: PipelinePlan, inputs: [InputFingerprint], writers: [any CheckpointWriter],
        announcement: BackgroundTask<Void>? = nil
    ) {
        self.plan = plan
        self.inputs = inputs
        self.writers = writers
        self.announcement = announcement
    }

    /// Tells the writers the offset of a tensor's double-quantized scales, if they were made in this pass.
    func setOffsets(from run: MemberRun, ofTensor tensor: Int) throws {
        for (output, writer) in zip(plan.model.outputs, writers) {
            // Some tensors come into being after an output.
            guard tensor < output.tensors.count, let producer = output.offsetProducers[tensor],
                let offset = run.facts[producer].scaleOffset
            else { continue }
            try writer.setDoubleQuantizationOffset(offset, ofTensor: tensor)
        }
    }

    /// Puts the outputs in place unless a gate of the spec fails, and the reports; answers what happened to every tensor.
    ///
    /// - Parameters:
    ///   - figures: By tensor of the plan.
    ///   - run: What the run has come to.
    func complete(
        _ figures: [TensorFigures], run: () -> RunFacts, isCancelled: () -> Bool
    ) throws -> ConversionReport {
        var report = ReportBuilder(plan: plan, figures: figures, inputs: inputs).report()
        report.gates = plan.spec.report.gates.map(report.result)
        report.isDiscarded = plan.spec.report.onFailure == .discard && report.gates.contains { !$0.hasPassed }
        guard !report.isDiscarded else {
            abandon()
            report.run = run()
            try plan.withReports(report) {}
            return report
        }
        guard !isCancelled() else { throw Interrupted() }
        try announcement?.finish()
        for writer in writers { try writer.finish() }
        report.run = run()
        try plan.withReports(report) {
            for writer in writers { try writer.commit() }
        }
        return report
    }

    /// Removes everything that was written.
    func abandon() {
        announcement?.waitForEnd()
        for writer in writers { writer.abandon() }
    }
}

/// What happened to one tensor: its figures in every output, and the rounding its codes were made with.
struct TensorFigures: Sendable {
    let emitted: [Int: EmittedFigures]
    /// For each operation the rounding it used, if it made codes.
    let roundings: [RoundingRule?]

    init(emitted: [Int: EmittedFigures], roundings: [RoundingRule?]) {
        self.emitted = emitted
        self.roundings = roundings
    }

    init(_ run: MemberRun) {
        emitted = run.emitted
        roundings = zip(run.program.operations, run.facts).map { $0.roundingUsed($1) }
    }
}
