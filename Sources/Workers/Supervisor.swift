import Synchronization

/// What the workers of a comparison share: the first failure, the wish to stop, and how far they are.
package final class Supervisor: Sendable {
    private let failure = Mutex<(any Error)?>(nil)
    private let hasFailed = Atomic<Bool>(false)
    private let done = Atomic<Int>(0)
    private let isCancelled: @Sendable () -> Bool
    private let onProgress: @Sendable (Int) -> Void

    /// - Parameter onProgress: Told the bytes that have been read, from any thread.
    package init(isCancelled: @escaping @Sendable () -> Bool, onProgress: @escaping @Sendable (Int) -> Void) {
        self.isCancelled = isCancelled
        self.onProgress = onProgress
    }

    /// Whether a worker should take another job.
    package var shouldGoOn: Bool {
        if hasFailed.load(ordering: .relaxed) { return false }
        guard isCancelled() else { return true }
        fail(Interrupted())
        return false
    }

    /// Does a job; when it throws, everybody stops.
    package func watch(_ job: () throws -> Void) {
        do {
            try job()
        } catch {
            fail(error)
        }
    }

    /// Notes that bytes have been read.
    package func advance(by bytes: Int) {
        onProgress(done.add(bytes, ordering: .relaxed).newValue)
    }

    /// Throws what went wrong first.
    package func checkFailure() throws {
        if let failure = failure.withLock({ $0 }) { throw failure }
    }

    private func fail(_ error: any Error) {
        failure.withLock { if $0 == nil { $0 = error } }
        hasFailed.store(true, ordering: .relaxed)
    }
}
