import Reports

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Adds up what a worker spends its time on.
final class WorkClock {
    enum Activity: Int, CaseIterable {
        case reading, computing, writing, waiting
    }

    private var activity = Activity.computing
    private var since = WorkClock.now
    private(set) var totals = WorkTotals()

    /// Starts an activity and answers the one that it interrupts.
    @discardableResult
    func enter(_ next: Activity) -> Activity {
        let now = WorkClock.now
        totals.nanoseconds[activity.rawValue] += now - since
        since = now
        defer { activity = next }
        return activity
    }

    /// Nanoseconds since some moment. Asked for ten times a chunk, which `ContinuousClock` takes a few times as long for.
    private static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
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
    fileprivate(set) var nanoseconds = [UInt64](repeating: 0, count: WorkClock.Activity.allCases.count)

    mutating func add(_ other: WorkTotals) {
        for index in nanoseconds.indices { nanoseconds[index] += other.nanoseconds[index] }
    }

    /// The shares of the whole; `nil` when no time has passed.
    var shares: WorkShares? {
        let whole = nanoseconds.reduce(0, +)
        guard whole > 0 else { return nil }
        func share(_ activity: WorkClock.Activity) -> Double { Double(nanoseconds[activity.rawValue]) / Double(whole) }
        return WorkShares(
            read: share(.reading), compute: share(.computing), write: share(.writing), wait: share(.waiting))
    }
}
