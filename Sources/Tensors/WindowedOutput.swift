import Synchronization

/// A file of known size that is written in pieces in any order, by several threads at once.
///
/// Pieces are gathered in windows of the file, each of which is written whole once all of it has arrived: tensors start at any
/// byte, and pieces that are not aligned to pages cost the system up to four times as much. The system also lets one thread at a
/// time write to a file while the others spin; here they leave what they have to the one that writes.
public final class WindowedOutput: Sendable {
    /// What is at a place in the file from the start.
    public typealias Constant = (offset: Int, bytes: [UInt8])

    private struct State {
        /// Windows of which something has arrived, the one that something arrived for last in front.
        var open: [OutputWindow] = []
        /// Windows that are waiting to be written.
        var ready: [OutputWindow] = []
        /// Windows that can be used again: the allocator would not find as large and as aligned a place in what it was given back.
        var spare: [OutputWindow] = []
        var isWriting = false
        /// Bytes that are expected and have not been given.
        var missing: Int
        /// The constants of windows that have not been opened yet, by the window's number.
        var constants: [Int: [Constant]]
    }

    public let file: OutputFile
    private let byteCount: Int
    private let state: Mutex<State>

    private static let windowSize = 128 << 10
    /// Windows that are open at most: where each thread is at work in a tensor's codes and scales, and the scales' scales that
    /// lie far from both. Beyond that a window is written with what it has.
    private static let mostOpen = 8
    /// Windows that wait to be written, before threads write rather than leave them.
    private static let mostReady = 4

    /// About the most memory that one needs, in bytes.
    public static func memory(threads: Int) -> Int { (max(mostOpen, threads) + mostReady) * windowSize }

    /// - Parameters:
    ///   - byteCount: The size of the file.
    ///   - constants: What is known already, within the file and without overlaps. It is in the file once ``finish()`` returns.
    ///   - expectedBytes: After so many bytes nothing waits for what may still come: windows with gaps that are filled last would
    ///     stay in memory, those of every shard until the last one is complete. 0 where all windows are filled on the way.
    public init(_ file: OutputFile, byteCount: Int, constants: [Constant] = [], expectedBytes: Int = 0) {
        self.file = file
        self.byteCount = byteCount
        var byWindow: [Int: [Constant]] = [:]
        for constant in constants where !constant.bytes.isEmpty {
            let last = constant.offset + constant.bytes.count - 1
            for number in constant.offset / WindowedOutput.windowSize...last / WindowedOutput.windowSize {
                byWindow[number, default: []].append(constant)
            }
        }
        state = Mutex(State(missing: expectedBytes, constants: byWindow))
    }

    /// Takes bytes that belong at `offset`. No byte of the file may be given twice, or where a constant is.
    ///
    /// - Throws: ``FileError`` when the disk is full or fails, also with what another thread has given.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        precondition(offset >= 0 && bytes.count <= byteCount - offset, "beyond the end of the file")
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let size = WindowedOutput.windowSize
            let inWindow = (offset + done) % size
            if inWindow == 0, rest.count >= size, beginWriting() {
                // Whole windows need not be gathered.
                let whole = rest.count / size * size
                try writeReady(after: UnsafeRawBufferPointer(rebasing: rest[..<whole]), at: offset + done)
                done += whole
            } else {
                let count = min(rest.count, size - inWindow)
                try gather(UnsafeRawBufferPointer(rebasing: rest[..<count]), at: offset + done)
                done += count
            }
        }
        try finishWriting(bytes.count)
    }

    /// Takes `count` bytes that belong at `offset`, which have not been anywhere in memory yet.
    ///
    /// - Parameter fill: Puts some of them where they wait to be written: as many as there is room, from that one on.
    /// - Throws: ``FileError`` as ``write(_:at:)``, and what `fill` throws.
    public func write(
        count: Int, at offset: Int, fill: (_ room: UnsafeMutableRawBufferPointer, _ first: Int) throws -> Void
    ) throws {
        precondition(offset >= 0 && count <= byteCount - offset, "beyond the end of the file")
        var done = 0
        while done < count {
            let place = offset + done
            let pieceCount = min(count - done, WindowedOutput.windowSize - place % WindowedOutput.windowSize)
            let window = beginFilling(place)
            do {
                try fill(window.room(at: place - window.start, count: pieceCount), done)
            } catch {
                state.withLock { _ in window.giveUpFilling() }
                throw error
            }
            try finishFilling(window, place..<place + pieceCount)
            done += pieceCount
        }
        try finishWriting(count)
    }

    /// Takes bytes that belong at `offset`.
    public func write(_ bytes: [UInt8], at offset: Int) throws(FileError) {
        try bytes.withBuffer { buffer throws(FileError) in try write(buffer, at: offset) }
    }

    /// Writes what is not in the file yet. No other call may run beside it.
    public func finish() throws(FileError) {
        state.withLock { state in
            state.ready += state.open
            state.open = []
        }
        try writeReady()
        while let window = state.withLock({ state in state.constants.keys.first.map { makeWindow($0, in: &state) } }) {
            try write(window)
        }
    }

    // MARK: Gathering

    /// Takes bytes of a single window.
    private func gather(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        let window = beginFilling(offset)
        window.room(at: offset - window.start, count: bytes.count).copyMemory(from: bytes)
        try finishFilling(window, offset..<offset + bytes.count)
    }

    /// The window of a place, about to be filled.
    private func beginFilling(_ offset: Int) -> OutputWindow {
        state.withLock { open(offset / WindowedOutput.windowSize, in: &$0) }
    }

    /// Counts what a window has been filled with, and writes those that are complete unless another thread does.
    private func finishFilling(_ window: OutputWindow, _ filled: Range<Int>) throws(FileError) {
        let start = window.start
        let writes = state.withLock { state in
            window.finishFilling(filled.lowerBound - start..<filled.upperBound - start)
            if window.isComplete { close(window, in: &state) }
            guard !state.ready.isEmpty, !state.isWriting || state.ready.count > WindowedOutput.mostReady else {
                return false
            }
            state.isWriting = true
            return true
        }
        if writes { try writeReady() }
    }

    /// Counts bytes that have been given, and writes all windows after the last expected ones.
    private func finishWriting(_ count: Int) throws(FileError) {
        if state.withLock({ closeAll(after: count, in: &$0) }) { try writeReady() }
    }

    /// The window of that number, about to be filled.
    private func open(_ number: Int, in state: inout State) -> OutputWindow {
        let window: OutputWindow
        if let index = state.open.firstIndex(where: { $0.start == number * WindowedOutput.windowSize }) {
            window = state.open.remove(at: index)
        } else {
            window = makeWindow(number, in: &state)
            if state.open.count >= WindowedOutput.mostOpen, let idle = state.open.last(where: { $0.fillers == 0 }) {
                close(idle, in: &state)
            }
        }
        window.beginFilling()
        state.open.insert(window, at: 0)
        return window
    }

    private func close(_ window: OutputWindow, in state: inout State) {
        state.open.removeAll { $0 === window }
        state.ready.append(window)
    }

    /// Counts bytes that have been given, and closes all windows after the last expected ones.
    ///
    /// - Returns: Whether this thread is to write them.
    private func closeAll(after count: Int, in state: inout State) -> Bool {
        state.missing -= count
        guard count > 0, state.missing == 0 else { return false }
        // Bytes are counted once they have been copied: nobody fills a window now.
        state.ready += state.open
        state.open = []
        guard !state.ready.isEmpty else { return false }
        state.isWriting = true
        return true
    }

    /// An empty window, but for the constants that belong to it if they are not in the file yet.
    private func makeWindow(_ number: Int, in state: inout State) -> OutputWindow {
        let window = state.spare.popLast() ?? OutputWindow(capacity: WindowedOutput.windowSize)
        let start = number * WindowedOutput.windowSize
        window.reset(start: start, length: min(WindowedOutput.windowSize, byteCount - start))
        for constant in state.constants.removeValue(forKey: number) ?? [] {
            let range = constant.offset..<constant.offset + constant.bytes.count
            let inside = range.clamped(to: start..<start + window.length)
            window.beginFilling()
            constant.bytes.withUnsafeBytes { bytes in
                let first = inside.lowerBound - constant.offset
                window.room(at: inside.lowerBound - start, count: inside.count)
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[first..<first + inside.count]))
            }
            window.finishFilling(inside.lowerBound - start..<inside.upperBound - start)
        }
        return window
    }

    // MARK: Writing

    /// Makes this thread the one that writes; false while another one does.
    private func beginWriting() -> Bool {
        state.withLock { state in
            defer { state.isWriting = true }
            return !state.isWriting
        }
    }

    /// Writes bytes, then what is ready until nothing is.
    private func writeReady(after bytes: UnsafeRawBufferPointer? = nil, at offset: Int = 0) throws(FileError) {
        var failure: FileError?
        if let bytes { do throws(FileError) { try file.write(bytes, at: offset) } catch { failure = error } }
        var written: OutputWindow?
        while let next = state.withLock({ takeReady(after: written, in: &$0) }) {
            do throws(FileError) { try write(next) } catch { failure = failure ?? error }
            written = next
        }
        if let failure { throw failure }
    }

    /// The next window to write; `nil` ends this thread's turn.
    private func takeReady(after written: OutputWindow?, in state: inout State) -> OutputWindow? {
        if let written { state.spare.append(written) }
        // Of the files of a checkpoint few are being written at a time.
        if state.open.isEmpty, state.ready.isEmpty { state.spare = [] }
        state.isWriting = !state.ready.isEmpty
        return state.isWriting ? state.ready.removeFirst() : nil
    }

    private func write(_ window: OutputWindow) throws(FileError) {
        try window.forEachRun { bytes, offset throws(FileError) in try file.write(bytes, at: offset) }
    }
}
