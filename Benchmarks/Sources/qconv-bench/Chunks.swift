import Dispatch
import Synchronization

/// Elements a thread takes at a time, as qconv's own executor does: what a chunk touches stays in the cache.
let chunkElements = 1 << 16

/// Memory that several threads use, each another part of it.
final class Buffer<Element: BitwiseCopyable>: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<Element>
    let count: Int

    init(_ count: Int) {
        self.count = count
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: max(count, 1) * MemoryLayout<Element>.stride, alignment: 64)
        pointer = memory.bindMemory(to: Element.self, capacity: count)
    }

    deinit { pointer.deallocate() }
}

/// What a thread needs for itself.
final class Scratch: @unchecked Sendable {
    let values = Buffer<Float>(chunkElements)
    let update = Buffer<Float>(chunkElements)
}

/// Calls `body` for all chunks of `count` elements, on so many threads, each of which takes the next chunk when it is done.
func forEachChunk(of count: Int, threads: Int, _ body: @escaping @Sendable (Range<Int>, Scratch) -> Void) {
    let next = Atomic(0)
    DispatchQueue.concurrentPerform(iterations: threads) { thread in
        let scratch = Workspace.scratch[thread]
        while true {
            let start = next.add(chunkElements, ordering: .relaxed).oldValue
            guard start < count else { return }
            body(start..<min(start + chunkElements, count), scratch)
        }
    }
}
