import Synchronization

/// Hands out the numbers 0, 1, 2, … of jobs that belong to consecutive items: each once, to whichever thread asks next.
package final class JobList: Sendable {
    /// The number of the first job of each item, and the number of all jobs.
    private let starts: [Int]
    private let next = Atomic<Int>(0)

    /// - Parameter counts: The number of jobs of each item.
    package init(counts: [Int]) {
        starts = counts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
    }

    /// The next job: its item and its number within it; `nil` when there are none left.
    ///
    /// - Parameter item: Where to look for the item: 0 at first, then the item of the job before.
    package func claim(from item: Int) -> (item: Int, job: Int)? {
        let number = next.add(1, ordering: .relaxed).oldValue
        guard number < starts[starts.count - 1] else { return nil }
        var item = item
        while number >= starts[item + 1] { item += 1 }
        return (item, number - starts[item])
    }
}
