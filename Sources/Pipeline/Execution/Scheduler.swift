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
    /// Load what the operations of a tensor need (the factors of its updates), for the branches that still run.
    case open(tensor: Int, branches: Set<Int>)
    case work(TensorWork)
}

/// One chunk, or one piece of a copy.
struct TensorWork: Sendable {
    /// Index into the programs.
    let tensor: Int
    let phase: SharedProgram.Phase
    /// What chunks are loaded for.
    let pass: HeldPass
    /// What the operations of each member know.
    let facts: [[OperationFacts]]
    let job: Int
    /// The branches that still run.
    let branches: Set<Int>
    /// Where the tensor's input is kept between passes, if it is.
    let held: HeldInput?
}

/// Hands out jobs to workers and collects their results.
///
/// A few tensors are open at a time, so that one whose first pass must end before its second begins never leaves a worker
/// idle, and so that only their factors are in memory. Large copies, which have none, are open beside them. Within a tensor
/// chunks go to all workers: a single huge tensor keeps every core busy.
///
/// A branch that fails is dropped, and the others go on.
final class Scheduler: @unchecked Sendable {
    /// What is to be done when something has come to its end. The calls do not overlap.
    struct Events: Sendable {
        /// A tensor is complete in a branch that still runs.
        let finished: @Sendable (SharedProgram.Member, MemberRun) throws -> Void
        /// A branch has failed, and nobody works on it any more.
        let dropped: @Sendable (_ branch: Int, _ error: any Error) -> Void
    }

    // All state below is guarded by `mutex`.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let changed: UnsafeMutablePointer<pthread_cond_t>
    private let programs: [SharedProgram]
    private let openLimit: Int
    private let heldCapacity: Int
    /// Memory of tensors that are complete, for those to come.
    private var unused: [HeldInput] = []
    private var nextTensor = 0
    private var opening = 0
    private var copiesInHand = 0
    private var running: [(tensor: Int, run: TensorRun)] = []
    /// What has stopped all work.
    private var failure: (any Error)?
    /// The branches that still run.
    private var branches: Set<Int>
    /// Why the others do not, by branch.
    private var failures: [Int: any Error] = [:]
    /// For each branch, the jobs in hand that it takes part in.
    private var jobsInHand: [Int: Int]
    private let events: Events
    private let isCancelled: @Sendable () -> Bool
    private var bytesRead = 0

    /// - Parameters:
    ///   - branches: The branches that are to run, of those that the programs know.
    ///   - openLimit: How many tensors may be in progress at once, and how many large copies beside them.
    ///   - heldCapacity: Bytes of the largest input that is held from pass to pass.
    ///   - isCancelled: Asked before every job; when it turns true the work stops with ``Interrupted``.
    init(
        programs: [SharedProgram], branches: Set<Int>, openLimit: Int, heldCapacity: Int,
        isCancelled: @escaping @Sendable () -> Bool, events: Events
    ) {
        self.programs = programs
        self.heldCapacity = heldCapacity
        self.openLimit = openLimit
        self.isCancelled = isCancelled
        self.events = events
        self.branches = branches
        jobsInHand = Dictionary(uniqueKeysWithValues: branches.map { ($0, 0) })
        mutex = .allocate(capacity: 1)
        changed = .allocate(capacity: 1)
        Scheduler.initialize(mutex)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    /// Makes a mutex whose threads, where the system has that, wait a moment before they sleep: nothing is guarded for long.
    private static func initialize(_ mutex: UnsafeMutablePointer<pthread_mutex_t>) {
        #if canImport(Glibc)
        var attributes = pthread_mutexattr_t()
        pthread_mutexattr_init(&attributes)
        pthread_mutexattr_settype(&attributes, CInt(PTHREAD_MUTEX_ADAPTIVE_NP))
        pthread_mutex_init(mutex, &attributes)
        pthread_mutexattr_destroy(&attributes)
        #else
        pthread_mutex_init(mutex, nil)
        #endif
    }

    private func locked<Result>(_ body: () throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// The next job, or `nil` when all is done or nothing can go on. Waits while others hold what is left.
    func next() -> Job? {
        locked {
            while true {
                if failure == nil, isCancelled() { fail(Interrupted()) }
                guard failure == nil, !branches.isEmpty else { return nil }
                if let job = claimJob() {
                    for branch in branches { jobsInHand[branch, default: 0] += 1 }
                    return job
                }
                if nextTensor == programs.count, running.isEmpty, opening == 0 { return nil }
                pthread_cond_wait(changed, mutex)
            }
        }
    }

    /// A job of an open tensor, the first one's if it has any left; or one that opens another.
    ///
    /// Writing is most of copying, and threads that write to one file have to take turns: while one copies a large tensor, the
    /// others compute if they can.
    private func claimJob() -> Job? {
        openLargeCopies()
        guard copiesInHand > 0 else { return claimWork { _ in true } ?? claimOpening() }
        return claimWork { !$0.isLargeCopy } ?? claimOpening() ?? claimWork(where: \.isLargeCopy)
    }

    private func claimWork(where isWanted: (SharedProgram) -> Bool) -> Job? {
        for index in running.indices where isWanted(running[index].run.program) {
            guard let phase = running[index].run.phase, let job = running[index].run.claimJob() else { continue }
            if running[index].run.program.isLargeCopy { copiesInHand += 1 }
            return .work(
                TensorWork(
                    tensor: running[index].tensor, phase: phase, pass: running[index].run.pass,
                    facts: running[index].run.facts, job: job, branches: branches, held: running[index].run.held))
        }
        return nil
    }

    private func claimOpening() -> Job? {
        guard nextTensor < programs.count, running.count + opening - largeCopies < openLimit,
            !programs[nextTensor].isLargeCopy
        else { return nil }
        defer { nextTensor += 1 }
        opening += 1
        return .open(tensor: nextTensor, branches: branches)
    }

    /// Opens the large copies that are next, which need nothing loaded.
    private func openLargeCopies() {
        while nextTensor < programs.count, programs[nextTensor].isLargeCopy, largeCopies < openLimit {
            let program = programs[nextTensor]
            running.append((nextTensor, TensorRun(program: program, facts: program.members.map(\.program.noFacts))))
            nextTensor += 1
        }
    }

    private var largeCopies: Int { running.count(where: \.run.program.isLargeCopy) }

    /// A tensor's facts are loaded, but for branches that failed.
    ///
    /// - Parameter branches: Those that the job was given to.
    func opened(
        tensor: Int, for branches: Set<Int>, facts: [[OperationFacts]], failures: [(branch: Int, error: any Error)]
    ) {
        locked {
            opening -= 1
            let bytes = programs[tensor].heldBytes
            let isHeld = bytes > 0 && bytes <= heldCapacity
            let held = isHeld ? unused.popLast() ?? HeldInput(capacity: heldCapacity) : nil
            running.append((tensor, TensorRun(program: programs[tensor], facts: facts, held: held)))
            running.sort { $0.tensor < $1.tensor }
            jobEnded(for: branches, failures)
        }
    }

    /// A job is done, but for branches that failed.
    ///
    /// - Returns: Bytes of input consumed so far.
    func finished(_ work: TensorWork, result: JobResult) -> Int {
        locked {
            bytesRead += result.bytesRead
            if programs[work.tensor].isLargeCopy { copiesInHand -= 1 }
            if let index = running.firstIndex(where: { $0.tensor == work.tensor }) {
                running[index].run.finish(job: work.job, with: result)
            }
            jobEnded(for: work.branches, result.failures)
            return bytesRead
        }
    }

    /// Stops all work; the first failure is the one that counts.
    func failed(_ error: any Error) {
        locked { fail(error) }
    }

    /// After all workers have returned: what went wrong for a branch, if anything did.
    func failure(of branch: Int) -> (any Error)? {
        locked { failures[branch] ?? failure }
    }

    private func fail(_ error: any Error) {
        if failure == nil { failure = error }
        pthread_cond_broadcast(changed)
    }

    private func jobEnded(for participants: Set<Int>, _ failures: [(branch: Int, error: any Error)]) {
        for branch in participants { jobsInHand[branch, default: 0] -= 1 }
        for (branch, error) in failures { drop(branch, error) }
        retireFinished()
        for branch in participants where jobsInHand[branch] == 0 {
            if let error = self.failures[branch] { events.dropped(branch, error) }
        }
        pthread_cond_broadcast(changed)
    }

    private func drop(_ branch: Int, _ error: any Error) {
        if branches.remove(branch) != nil { failures[branch] = error }
    }

    private func retireFinished() {
        while let index = running.firstIndex(where: \.run.isFinished) {
            let (tensor, run) = running.remove(at: index)
            if let held = run.held { unused.append(held) }
            for (member, memberRun) in zip(programs[tensor].members, run.members)
            where branches.contains(member.branch) {
                do {
                    try events.finished(member, memberRun)
                } catch {
                    drop(member.branch, error)
                }
            }
        }
    }
}

/// Thrown when a conversion is stopped.
public typealias Interrupted = Workers.Interrupted
