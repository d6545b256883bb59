/// The bytes of one window of a file, on their way there.
///
/// Used by one thread at a time, except that several may fill different places.
final class OutputWindow: @unchecked Sendable {
    /// The window's place in the file.
    private(set) var start = 0
    private(set) var length = 0
    private let memory: UnsafeMutableRawBufferPointer
    /// What has arrived, relative to ``start``, in the order of arrival.
    private var filled: [Range<Int>] = []
    private var filledCount = 0
    /// Threads that are copying into it.
    private(set) var fillers = 0

    /// The system copies to its page cache several times as fast where the place in memory and the place in the file have the
    /// same alignment, to a page if possible.
    private static let alignment = 4096

    /// - Parameter capacity: The most bytes a window can have.
    init(capacity: Int) {
        memory = .allocate(byteCount: capacity, alignment: OutputWindow.alignment)
    }

    deinit { memory.deallocate() }

    var isComplete: Bool { filledCount == length }

    /// Makes it an empty window.
    func reset(start: Int, length: Int) {
        self.start = start
        self.length = length
        filled.removeAll(keepingCapacity: true)
        filledCount = 0
    }

    /// Announces bytes, which are then put into ``room(at:count:)`` and counted by ``finishFilling(_:)``.
    func beginFilling() { fillers += 1 }

    /// Takes back that bytes were announced.
    func giveUpFilling() { fillers -= 1 }

    /// Where bytes of the window go. Several threads may fill different places.
    func room(at offset: Int, count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: memory[offset..<offset + count])
    }

    func finishFilling(_ range: Range<Int>) {
        fillers -= 1
        filledCount += range.count
        filled.append(range)
    }

    /// What has arrived, in the file's order, as few pieces.
    func forEachRun<Failure: Error>(
        _ body: (_ bytes: UnsafeRawBufferPointer, _ offset: Int) throws(Failure) -> Void
    ) throws(Failure) {
        var run = 0..<0
        for range in filled.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if range.lowerBound == run.upperBound {
                run = run.lowerBound..<range.upperBound
            } else {
                try body(UnsafeRawBufferPointer(rebasing: memory[run]), start + run.lowerBound)
                run = range
            }
        }
        try body(UnsafeRawBufferPointer(rebasing: memory[run]), start + run.lowerBound)
    }
}
