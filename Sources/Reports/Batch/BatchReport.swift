import LosslessJSON

/// What became of every adapter of a batch.
public struct BatchReport: Hashable, Sendable {
    public enum Status: String, CaseIterable, Hashable, Sendable {
        /// Its outputs were made and put in place.
        case converted
        /// Its outputs were made by an earlier run, from the same inputs by the same spec.
        case unchanged
        /// A gate failed, and its outputs were not put in place.
        case gateFailed = "gate_failed"
        /// Something went wrong while it was converted.
        case failed
        /// It could not work, and was left out.
        case leftOut = "left_out"
        /// The batch was stopped while it was converted.
        case interrupted
        /// The batch was stopped before its turn.
        case notStarted = "not_started"
    }

    public struct Adapter: Hashable, Sendable {
        /// Its path, as the specs of the batch name it.
        public let path: String
        public let status: Status
        /// Why it has no outputs, or the gates that failed.
        public let reason: String?
        /// The figures of its outputs, the last one being what the batch is about.
        public let outputs: [BatchFigures]
        /// What became of every tensor of the last output; `nil` when this run did not make it.
        public let details: OutputReport?

        public init(
            path: String, status: Status, reason: String? = nil, outputs: [BatchFigures] = [],
            details: OutputReport? = nil
        ) {
            self.path = path
            self.status = status
            self.reason = reason
            self.outputs = outputs
            self.details = details
        }

        /// Whether its outputs are in place.
        public var hasOutputs: Bool { status == .converted || status == .unchanged }

        /// The figures that adapters are compared by.
        public var figures: BatchFigures? { outputs.last }
    }

    public let toolVersion: String
    /// The input that all have in common.
    public let input: String
    public let adapters: [Adapter]
    /// How many passes over the input the conversions took.
    public let passes: Int
    /// What the person who started the batch should know, one plain sentence each.
    public let warnings: [String]
    public var run: RunFacts?

    public init(
        toolVersion: String, input: String, adapters: [Adapter], passes: Int, warnings: [String] = [],
        run: RunFacts? = nil
    ) {
        self.toolVersion = toolVersion
        self.input = input
        self.adapters = adapters
        self.passes = passes
        self.warnings = warnings
        self.run = run
    }

    /// The adapters with a status.
    public func count(_ status: Status) -> Int { adapters.count { $0.status == status } }

    /// Whether a gate failed for an adapter, whatever became of its outputs.
    public var hasFailedGates: Bool {
        adapters.contains { $0.status == .gateFailed || ($0.hasOutputs && $0.reason != nil) }
    }

    // MARK: - Conclusion

    /// One sentence about what is there now, and one about the adapter that suffered most.
    public var conclusion: String {
        [countsSentence, survivalSentence].compactMap(\.self).joined(separator: " ")
    }

    /// The adapter that kept least of its update, if any had one.
    public var mostThinned: Adapter? {
        adapters.filter { $0.figures?.updateKept != nil }.min { left, right in
            (left.figures?.updateKept ?? .infinity) < (right.figures?.updateKept ?? .infinity)
        }
    }

    private var countsSentence: String {
        let parts = Status.allCases.filter { count($0) > 0 }.map { "\(count($0)) \($0.words)" }
        return "Of \(counted(adapters.count, "adapter")): \(parts.joined(separator: ", "))."
    }

    private var survivalSentence: String? {
        guard let least = mostThinned, let kept = least.figures?.updateKept else { return nil }
        let share = NumberText.percentCutOff(kept)
        switch kept {
        case ..<UpdateSurvival.erasedBelow:
            return "\(least.path) suffers most: the merge erased it, only \(share) of its update was kept."
        case ..<UpdateSurvival.thinnedBelow:
            return "\(least.path) suffers most: \(share) of its update was kept."
        default:
            return adapters.count == 1
                ? "\(share) of its update was kept." : "Every update survived; \(least.path) kept least, \(share)."
        }
    }
}

extension BatchReport.Status {
    /// As people read it.
    package var words: String {
        switch self {
        case .converted: "converted"
        case .unchanged: "unchanged since an earlier run"
        case .gateFailed: "refused by a gate"
        case .failed: "failed"
        case .leftOut: "left out"
        case .interrupted: "interrupted"
        case .notStarted: "not started"
        }
    }

    /// In a column of a table.
    var word: String { self == .unchanged ? "unchanged" : words }
}
