import Reports

/// The end of a batch whose adapters several processes have converted: the report on all of them.
public struct BatchFinish: Sendable {
    private let plan: BatchPlan

    /// Plans the batch as a single run would.
    ///
    /// - Throws: as ``BatchPlan``.
    public init(spec: BatchSpec, options: PipelineOptions) throws {
        var options = options
        options.force = true
        plan = try BatchPlan(spec: spec, options: options, part: nil, checksDisk: false)
    }

    /// What is wrong with adapters that no part could convert.
    public var problems: [(adapter: BatchAdapter, error: any Error)] { plan.problems }

    /// Checks that every adapter has been converted, writes the reports on the batch and answers what came of it.
    ///
    /// - Parameter count: How many parts there were, to name those that are missing.
    /// - Returns: What a single run that converts everything would have told, run facts aside.
    /// - Throws: ``PartsError`` naming the adapters and parts that are missing.
    public func finish(count: Int? = nil) throws -> BatchReport {
        let ledger = BatchLedger(plan, onSettled: { _ in })
        var missing: [(item: Int, reason: String?)] = []
        for (index, item) in plan.items.enumerated() {
            guard let itemPlan = item.plan else { continue }
            guard let file = item.recordFile, let record = file.earlier else {
                missing.append((index, nil))
                continue
            }
            if record.isDiscarded(file.next) {
                ledger.settle(index, .gateFailed, reason: record.failedGates, record.figures)
            } else if let reason = record.objection(file.next, itemPlan) {
                missing.append((index, reason))
            } else {
                ledger.settle(index, .converted, reason: record.failedGates, record.figures)
            }
        }
        guard missing.isEmpty else {
            let numbers = count.map { count in Set(missing.map { $0.item % count + 1 }).sorted() } ?? []
            throw PartsError.adaptersMissing(
                missing.map { (plan.items[$0.item].adapter.path, $0.reason) },
                parts: numbers.map { Part(number: $0, count: count ?? 1) })
        }
        let report = ledger.outcome(run: nil).report
        try plan.spec.report.write(report)
        return report
    }
}
