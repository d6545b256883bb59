import Synchronization
import Tensors
import Workers

/// What was found in a run of elements. Runs are merged in the order of their tensor.
protocol PartialResult: Sendable {
    init()
    mutating func merge(_ next: Self)
}

/// Looks at runs of elements of one item after the other, with memory of its own.
protocol ChunkWorker {
    associatedtype Result: PartialResult
    /// Gets ready for the elements of an item.
    func open(item: Int) throws
    /// Looks at some elements of the item that is open.
    ///
    /// - Parameter onRead: Told how many bytes have been read.
    func measure(item: Int, _ range: Range<Int>, onRead: (Int) -> Void) throws -> Result
    /// Leaves an item. Other workers may still be at it.
    func close(item: Int)
}

/// The runs that a tensor is cut into.
struct Chunks: Hashable, Sendable {
    let elements: Int
    /// Elements a run; the last may be shorter.
    let length: Int
    /// 1 for all runs, 2 for every other one.
    var stride = 1

    var count: Int { ((elements + length - 1) / length + stride - 1) / stride }

    subscript(index: Int) -> Range<Int> {
        let start = index * stride * length
        return start..<min(start + length, elements)
    }
}

/// Items cut into chunks that all cores share.
///
/// Sums of floating-point numbers depend on the order of their additions, so results are merged in the order of the tensor,
/// whatever the order they arrive in: the same for any number of threads, bit for bit.
final class ChunkedPass<Result: PartialResult>: Sendable {
    private struct Progress {
        /// Results that arrived before an earlier one, by chunk.
        var waiting: [Int: Result] = [:]
        var next = 0
        var merged = Result()
    }

    private let items: [Chunks]
    private let jobs: JobList
    private let progress: Mutex<[Progress]>

    init(_ items: [Chunks]) {
        self.items = items
        jobs = JobList(counts: items.map(\.count))
        progress = Mutex(items.map { _ in Progress() })
    }

    /// What was found about each item, after all workers have returned.
    var results: [Result] { progress.withLock { $0.map(\.merged) } }

    /// Works until there is nothing left. Several threads may do so at once, each with a worker of its own.
    func work<Worker: ChunkWorker>(_ supervisor: Supervisor, _ worker: Worker) where Worker.Result == Result {
        var open: Int?
        while supervisor.shouldGoOn, let (item, chunk) = jobs.claim(from: open ?? 0) {
            supervisor.watch {
                if open != item {
                    if let open { worker.close(item: open) }
                    // Whatever happens, the job list goes on from here.
                    open = item
                    try worker.open(item: item)
                }
                add(try worker.measure(item: item, items[item][chunk], onRead: supervisor.advance), item, chunk)
            }
        }
        if let open { worker.close(item: open) }
    }

    private func add(_ result: Result, _ item: Int, _ chunk: Int) {
        progress.withLock { progress in
            progress[item].waiting[chunk] = result
            while let next = progress[item].waiting.removeValue(forKey: progress[item].next) {
                progress[item].merged.merge(next)
                progress[item].next += 1
            }
        }
    }
}
