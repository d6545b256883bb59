import Synchronization

/// Whose turn it is to write to a file, and what other threads have left for that one.
///
/// The system lets one thread at a time write to a file, and the others spin until then. What they have is better copied, and
/// written by the thread that writes anyway.
final class WriteTurns: Sendable {
    private struct State {
        var isTaken = false
        var left: [(bytes: [UInt8], offset: Int)] = []
    }

    private let state = Mutex(State())

    /// How many pieces may be left, and how large they may be.
    private static let mostLeft = 4, largestLeft = 256 << 10

    /// Begins a turn; false while another thread has one.
    func begin() -> Bool {
        state.withLock { state in
            defer { state.isTaken = true }
            return !state.isTaken
        }
    }

    /// Leaves a piece for the thread whose turn it is; false if that is over by now, or has enough to do.
    func leave(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Bool {
        guard bytes.count <= WriteTurns.largestLeft else { return false }
        let copy = Array(bytes)
        return state.withLock { state in
            guard state.isTaken, state.left.count < WriteTurns.mostLeft else { return false }
            state.left.append((copy, offset))
            return true
        }
    }

    /// What has been left for the thread whose turn it is; `nil` ends its turn.
    func next() -> (bytes: [UInt8], offset: Int)? {
        state.withLock { state in
            let next = state.left.popLast()
            state.isTaken = next != nil
            return next
        }
    }
}
