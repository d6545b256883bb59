import Synchronization
import Tensors

/// Puts compressed chunks into the file in their order, however they arrive: so the file is the same for any number of
/// threads.
final class ChunkSequencer: Sendable {
    private struct State {
        var next = 0
        var end = SealedHeader.byteCount
        var waiting: [Int: (streams: [StoredStream], bytes: HeldBytes)] = [:]
        var streams: [Int: [StoredStream]] = [:]
    }

    private let file: OutputFile
    private let pool: HoldingPool
    private let state = Mutex(State())

    init(file: OutputFile, pool: HoldingPool) {
        self.file = file
        self.pool = pool
    }

    /// Takes a chunk. It is written at once when all chunks before it are there; else it waits.
    func add(_ encoded: [StreamEncoder.Encoded], chunk: Int) throws {
        let streams = encoded.map {
            StoredStream(method: $0.method, storedSize: $0.bytes.count, crc: Zlib.crc32($0.bytes))
        }
        let size = streams.reduce(0) { $0 + $1.storedSize }
        if let start = takeTurn(chunk, streams, size: size) {
            var position = start
            for stream in encoded {
                try file.write(stream.bytes, at: position)
                position += stream.bytes.count
            }
        } else {
            let held = HeldBytes(byteCount: size, pool: pool)
            var position = 0
            for stream in encoded {
                try stream.bytes.withUnsafeBytes { bytes in try held.write(bytes, at: position) }
                position += stream.bytes.count
            }
            state.withLock { $0.waiting[chunk] = (streams, held) }
        }
        // Its turn may have come meanwhile, or that of those that waited for it.
        while let (bytes, start) = takeWaiting() {
            try bytes.withBytes { try file.write($0, at: start) }
        }
    }

    private func takeTurn(_ chunk: Int, _ streams: [StoredStream], size: Int) -> Int? {
        state.withLock { state in
            guard state.next == chunk else { return nil }
            defer {
                state.next += 1
                state.end += size
            }
            state.streams[chunk] = streams
            return state.end
        }
    }

    private func takeWaiting() -> (bytes: HeldBytes, start: Int)? {
        state.withLock { state in
            guard let (streams, bytes) = state.waiting.removeValue(forKey: state.next) else { return nil }
            state.streams[state.next] = streams
            defer {
                state.next += 1
                state.end += bytes.byteCount
            }
            return (bytes, state.end)
        }
    }

    /// How many chunks are in the file, and the streams of each in order.
    var streams: [[StoredStream]] {
        state.withLock { state in (0..<state.next).map { state.streams[$0] ?? [] } }
    }
}
