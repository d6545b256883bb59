import Workers

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// A piece of work for one worker.
enum Job: Sendable {
    /// Load what the tensor's operations need (the factors of its updates).
    case open(tensor: Int)
    /// One chunk, or one piece of a copy.
    case work(tensor: Int, phase: TensorProgram.Phase, facts: [OperationFacts], job: Int)
}

/// Hands out jobs to workers and collects their results.
///
/// A few tensors are open at a time, so that one whose first pass must end before its second begins never leaves a worker
/// idle, and so that only their factors are in memory. Within a tensor chunks go to all workers: a single huge tensor keeps
/// every core busy.
final class Scheduler: @unchecked Sendable {
    // All state below is guarded by `mutex`.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let changed: UnsafeMutablePointer<pthread_cond_t>
    private let programs: [TensorProgram]
    private let openLimit: Int
    private var nextTensor = 0
    private var opening = 0
    private var running: [(tensor: Int, run: TensorRun)] = []
    private var failure: (any Error)?
    private let onFinish: @Sendable (Int, TensorRun) throws -> Void
    private let isCancelled: @Sendable () -> Bool
    private var bytesRead = 0

    /// - Parameters:
    ///   - openLimit: How many tensors may be in progress at once.
    ///   - isCancelled: Asked before every job; when it turns true the work stops with ``Interrupted``.
    ///   - onFinish: Called once a tensor, when it is complete; the calls do not overlap.
    init(
        programs: [TensorProgram], openLimit: Int, isCancelled: @escaping @Sendable () -> Bool,
        onFinish: @escaping @Sendable (Int, TensorRun) throws -> Void
    ) {
        self.programs = programs
        self.openLimit = openLimit
        self.isCancelled = isCancelled
        self.onFinish = onFinish
        mutex = .allocate(capacity: 1)
        changed = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    private func locked<Result>(_ body: () throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// The next job, or `nil` when all is done or something failed. Waits while others hold what is left.
    func next() -> Job? {
        locked {
            while true {
                if failure == nil, isCancelled() { fail(Interrupted()) }
                guard failure == nil else { return nil }
                for index in running.indices {
                    guard let phase = running[index].run.phase, let job = running[index].run.claimJob() else {
                        continue
                    }
                    return .work(
                        tensor: running[index].tensor, phase: phase, facts: running[index].run.facts, job: job)
                }
                if nextTensor < programs.count, running.count + opening < openLimit {
                    defer { nextTensor += 1 }
                    opening += 1
                    return .open(tensor: nextTensor)
                }
                if nextTensor == programs.count, running.isEmpty, opening == 0 { return nil }
                pthread_cond_wait(changed, mutex)
            }
        }
    }

    /// A tensor's facts are loaded.
    func opened(tensor: Int, facts: [OperationFacts]) {
        locked {
            opening -= 1
            running.append((tensor, TensorRun(program: programs[tensor], facts: facts)))
            running.sort { $0.tensor < $1.tensor }
            retireFinished()
            pthread_cond_broadcast(changed)
        }
    }

    /// A job is done.
    func finished(tensor: Int, job: Int, result: JobResult) {
        locked {
            bytesRead += result.bytesRead
            guard let index = running.firstIndex(where: { $0.tensor == tensor }) else { return }
            running[index].run.finish(job: job, with: result)
            retireFinished()
            pthread_cond_broadcast(changed)
        }
    }

    /// Stops all work; the first failure is the one that counts.
    func failed(_ error: any Error) {
        locked { fail(error) }
    }

    /// What went wrong, after all workers have returned.
    func checkFailure() throws {
        if let failure = locked({ failure }) { throw failure }
    }

    /// Bytes of input consumed so far.
    var progress: Int { locked { bytesRead } }

    private func fail(_ error: any Error) {
        if failure == nil { failure = error }
        pthread_cond_broadcast(changed)
    }

    private func retireFinished() {
        while let index = running.firstIndex(where: \.run.isFinished) {
            let (tensor, run) = running.remove(at: index)
            do {
                try onFinish(tensor, run)
            } catch {
                fail(error)
            }
        }
    }
}

/// Thrown when a conversion is stopped.
public typealias Interrupted = Workers.Interrupted
