import Synchronization

/// Decoded streams that were read in part, so that reading the rest does not decode them again. The least recently used
/// go first.
package final class DecodedCache<Key: Hashable & Sendable>: Sendable {
    /// A decoded stream, or the place where one thread puts it while others wait for it.
    private final class Entry: Sendable {
        let bytes = Mutex<[UInt8]?>(nil)
    }

    private struct State {
        var entries: [Key: (entry: Entry, byteCount: Int, lastUse: UInt64)] = [:]
        var byteCount = 0
        var clock: UInt64 = 0
    }

    private let limit: Int
    private let state = Mutex(State())

    /// - Parameter limit: Bytes that are kept; one stream is kept even if it is larger.
    package init(limit: Int) {
        self.limit = limit
    }

    /// The bytes of a stream: those that are kept, or those that `decode` makes, which no other thread makes meanwhile.
    package func bytes(_ key: Key, byteCount: Int, decode: () throws -> [UInt8]) throws -> [UInt8] {
        let entry = entry(key, byteCount: byteCount)
        return try entry.bytes.withLock { bytes in
            if let bytes { return bytes }
            let decoded = try decode()
            bytes = decoded
            return decoded
        }
    }

    private func entry(_ key: Key, byteCount: Int) -> Entry {
        state.withLock { state in
            state.clock += 1
            if let known = state.entries[key] {
                state.entries[key]?.lastUse = state.clock
                return known.entry
            }
            while state.byteCount + byteCount > limit,
                let oldest = state.entries.min(by: { $0.value.lastUse < $1.value.lastUse })
            {
                state.byteCount -= oldest.value.byteCount
                state.entries[oldest.key] = nil
            }
            let entry = Entry()
            state.entries[key] = (entry, byteCount, state.clock)
            state.byteCount += byteCount
            return entry
        }
    }
}
