import CSystemCalls

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Runs `body` on a number of threads at once and waits for all of them.
///
/// Plain threads, because workers block on files: Swift's cooperative pool must not be blocked, and has as many threads as
/// cores, not as many as asked for.
package func runOnThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    var threads: [WorkerThread] = []
    for index in 1..<max(count, 1) {
        guard let thread = WorkerThread(index: index, body) else { break }  // fewer threads do the same work
        threads.append(thread)
    }
    body(0)
    for thread in threads { thread.join() }
}

/// A thread of the operating system.
struct WorkerThread: @unchecked Sendable {
    private let thread: pthread_t

    /// Starts a thread; `nil` when the system has none left.
    init?(index: Int, _ body: @escaping @Sendable (Int) -> Void) {
        let start = Unmanaged.passRetained(ThreadStart(index: index, body: body))
        #if canImport(Darwin)
        var thread: pthread_t?
        let status = thread_create_elsewhere(&thread, runThread, start.toOpaque())
        #else
        var created = pthread_t()
        let status = thread_create_elsewhere(&created, runThread, start.toOpaque())
        let thread: pthread_t? = created
        #endif
        guard status == 0, let thread else {
            start.release()
            return nil
        }
        self.thread = thread
    }

    /// Waits for the thread's end. To be called once.
    func join() { pthread_join(thread, nil) }
}

private final class ThreadStart: Sendable {
    let index: Int
    let body: @Sendable (Int) -> Void

    init(index: Int, body: @escaping @Sendable (Int) -> Void) {
        self.index = index
        self.body = body
    }
}

private func runThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    let start = Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
    start.body(start.index)
    return nil
}
