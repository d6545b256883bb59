import Synchronization
import Testing
import Workers

#if canImport(Glibc)
import Glibc
#endif

@Suite struct WorkerThreadsTests {
    @Test(arguments: [0, 1, 2, 9])
    func everyThreadRunsOnce(count: Int) {
        let seen = Mutex<[Int]>([])
        runOnThreads(count) { index in seen.withLock { $0.append(index) } }
        #expect(seen.withLock { $0.sorted() } == Array(0..<max(count, 1)))
    }

    @Test(arguments: [1, 3])
    func resultsAreInOrder(threads: Int) {
        #expect(mapOnThreads(1000, threads: threads) { $0 * $0 } == (0..<1000).map { $0 * $0 })
    }

    #if canImport(Glibc)
    /// The cores that this thread may run on, as the system shows them.
    private static var allowedCores: String? {
        guard let file = fopen("/proc/thread-self/status", "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 16384)
        let count = fread(&bytes, 1, bytes.count, file)
        let lines = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
        return lines.first { $0.hasPrefix("Cpus_allowed:") }.map(String.init)
    }

    /// They only start on another core than the one that starts them.
    @Test func threadsMayRunWhereverTheirStarterMay() throws {
        let allowed = try #require(WorkerThreadsTests.allowedCores)
        let areStarted = Atomic(false)
        let found = Mutex<[String?]>([])
        runOnThreads(5) { index in
            // The first is this one, and runs when all others have been started.
            if index == 0 { areStarted.store(true, ordering: .releasing) }
            while !areStarted.load(ordering: .acquiring) { sched_yield() }
            let cores = WorkerThreadsTests.allowedCores
            found.withLock { $0.append(cores) }
        }
        #expect(found.withLock { $0 } == [String?](repeating: allowed, count: 5))
    }
    #endif
}
