import Synchronization

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Something that is done on a thread of its own while other work goes on, such as waiting for the disk.
package final class BackgroundTask: Sendable {
    private let result: ResultBox
    private let thread: Mutex<WorkerThread?>

    /// Starts the task; where no thread is to be had, it is done here and now.
    package init(_ body: @escaping @Sendable () throws -> Void) {
        let result = ResultBox()
        self.result = result
        let run: @Sendable (Int) -> Void = { _ in
            do {
                try body()
            } catch {
                result.failure.withLock { $0 = error }
            }
        }
        let started = WorkerThread(index: 0, run)
        thread = Mutex(started)
        if started == nil { run(0) }
    }

    deinit {
        waitForEnd()
    }

    /// Waits for the end.
    ///
    /// - Throws: What the task has thrown, each time.
    package func finish() throws {
        waitForEnd()
        if let failure = result.failure.withLock({ $0 }) { throw failure }
    }

    /// Waits for the end, whatever comes of it.
    package func waitForEnd() {
        thread.withLock { thread in
            thread?.join()
            thread = nil
        }
    }

    private final class ResultBox: Sendable {
        let failure = Mutex<(any Error)?>(nil)
    }
}
