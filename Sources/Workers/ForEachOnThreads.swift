import Synchronization

/// Calls `body` with the numbers below `count`, each once, on as many threads as are asked for, and waits for all of them.
package func forEachOnThreads(_ count: Int, threads: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let next = Atomic(0)
    runOnThreads(min(threads, count)) { _ in
        while case let index = next.add(1, ordering: .relaxed).oldValue, index < count { body(index) }
    }
}

/// The results of `body` for the numbers below `count`, made on several threads.
package func mapOnThreads<Result: Sendable>(
    _ count: Int, threads: Int, _ body: @escaping @Sendable (Int) -> Result
) -> [Result] {
    let results = Mutex([Result?](repeating: nil, count: count))
    forEachOnThreads(count, threads: threads) { index in
        let result = body(index)
        results.withLock { $0[index] = result }
    }
    return results.withLock { $0.compactMap(\.self) }
}
