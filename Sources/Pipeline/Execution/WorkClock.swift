import Reports

/// Adds up what a worker spends its time on.
final class WorkClock {
    enum Activity: Int, CaseIterable {
        case reading, computing, writing, waiting
    }

    private var activity = Activity.computing
    private var since = ContinuousClock.now
    private(set) var totals = WorkTotals()

    /// Starts an activity and answers the one that it interrupts.
    @discardableResult
    func enter(_ next: Activity) -> Activity {
        let now = ContinuousClock.now
        totals.durations[activity.rawValue] += now - since
        since = now
        defer { activity = next }
        return activity
    }

    /// Runs `body` as an activity, and goes back to the one before.
    func during<Result>(_ activity: Activity, _ body: () throws -> Result) rethrows -> Result {
        let before = enter(activity)
        defer { enter(before) }
        return try body()
    }
}

/// The time of one or more workers, by activity.
struct WorkTotals: Sendable {
    var durations = [Duration](repeating: .zero, count: WorkClock.Activity.allCases.count)

    mutating func add(_ other: WorkTotals) {
        for index in durations.indices { durations[index] += other.durations[index] }
    }

    /// The shares of the whole; `nil` when no time has passed.
    var shares: WorkShares? {
        let whole = durations.reduce(.zero, +)
        guard whole > .zero else { return nil }
        func share(_ activity: WorkClock.Activity) -> Double { durations[activity.rawValue] / whole }
        return WorkShares(
            read: share(.reading), compute: share(.computing), write: share(.writing), wait: share(.waiting))
    }
}
