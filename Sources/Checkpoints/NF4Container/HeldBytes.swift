import Synchronization
import Tensors

/// Bytes that wait: in memory while there is room, else in a spill file.
///
/// Different ranges may be written from several threads at once; reading needs every write to have happened before.
final class HeldBytes: Sendable {
    private enum Storage {
        case memory(UnsafeMutableRawBufferPointer)
        case spilled(Int)
    }

    let byteCount: Int
    private let pool: HoldingPool
    private nonisolated(unsafe) let storage: Storage

    init(byteCount: Int, pool: HoldingPool) {
        self.byteCount = byteCount
        self.pool = pool
        storage =
            pool.takeMemory(byteCount)
            ? .memory(.allocate(byteCount: byteCount, alignment: 16)) : .spilled(pool.spill.reserve(byteCount))
    }

    deinit {
        switch storage {
        case .memory(let buffer):
            buffer.deallocate()
            pool.returnMemory(byteCount)
        case .spilled(let place): pool.spill.release(place, byteCount: byteCount)
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        switch storage {
        case .memory(let buffer):
            UnsafeMutableRawBufferPointer(rebasing: buffer[offset..<(offset + bytes.count)]).copyMemory(from: bytes)
        case .spilled(let place): try pool.spill.write(bytes, at: place + offset)
        }
    }

    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        switch storage {
        case .memory(let buffer): return try body(UnsafeRawBufferPointer(buffer))
        case .spilled(let place):
            return try withUnsafeTemporaryAllocation(byteCount: byteCount, alignment: InputFile.bufferAlignment) {
                buffer in
                try pool.spill.read(into: buffer, at: place)
                return try body(UnsafeRawBufferPointer(buffer))
            }
        }
    }
}

/// The memory that waiting bytes may take, and the file for those beyond it.
///
/// Nobody ever waits for room: the thread that would make room might be the one that waits.
final class HoldingPool: Sendable {
    let spill: SpillFile
    private let limit: Int
    private let used = Atomic(0)

    init(limit: Int, spill: SpillFile) {
        self.limit = limit
        self.spill = spill
    }

    fileprivate func takeMemory(_ byteCount: Int) -> Bool {
        let after = used.add(byteCount, ordering: .relaxed).newValue
        guard after > limit else { return true }
        used.subtract(byteCount, ordering: .relaxed)
        return false
    }

    fileprivate func returnMemory(_ byteCount: Int) { used.subtract(byteCount, ordering: .relaxed) }
}
