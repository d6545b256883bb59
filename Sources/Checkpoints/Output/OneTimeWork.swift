import Synchronization

/// Work that is done once, however often and from wherever it is asked for; again only if it has failed.
struct OneTimeWork: ~Copyable, Sendable {
    private let isDone = Mutex(false)

    func run(_ work: () throws -> Void) throws {
        try isDone.withLock { isDone in
            guard !isDone else { return }
            try work()
            isDone = true
        }
    }
}
