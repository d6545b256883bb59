import Synchronization

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Something that is done on a thread of its own while other work goes on, such as waiting for the disk.
package final class BackgroundTask<Value: Sendable>: Sendable {
    private let result: ResultBox
    private let thread: Mutex<WorkerThread?>

    /// Starts the task; where no thread is to be had, it is done here and now.
    package init(_ body: @escaping @Sendable () throws -> Value) {
        let result = ResultBox()
        self.result = result
        let run: @Sendable (Int) -> Void = { _ in
            let outcome = Result { try body() }
            result.outcome.withLock { $0 = outcome }
        }
        let started = WorkerThread(index: 0, run)
        thread = Mutex(started)
        if started == nil { run(0) }
    }

    deinit {
        waitForEnd()
    }

    /// Waits for the end, and answers what the task has answered.
    ///
    /// - Throws: What the task has thrown, each time.
    package func finish() throws -> Value {
        waitForEnd()
        guard let outcome = result.outcome.withLock({ $0 }) else { preconditionFailure("the task has ended") }
        return try outcome.get()
    }

    /// Waits for the end, whatever comes of it.
    package func waitForEnd() {
        thread.withLock { thread in
            thread?.join()
            thread = nil
        }
    }

    private final class ResultBox: Sendable {
        let outcome = Mutex<Result<Value, any Error>?>(nil)
    }
}
