import Tensors

/// The bytes of a pickle, read in order. Only a window of the file is in memory.
struct PickleInput {
    private static let windowSize = 1 << 16

    private let file: InputFile?
    /// Where the bytes end, counted like ``position``.
    private let end: Int
    /// Whether there are more bytes behind ``end`` than may be read.
    private let isLimited: Bool
    private var window: [UInt8]
    private var windowStart: Int
    /// The next byte, counted from the start of the file or of the given bytes.
    private(set) var position: Int

    /// - Parameter limit: How many bytes of the file may be read.
    init(_ file: InputFile, limit: Int) {
        self.file = file
        end = min(file.size, limit)
        isLimited = limit < file.size
        window = []
        windowStart = 0
        position = 0
    }

    init(_ bytes: [UInt8]) {
        file = nil
        end = bytes.count
        isLimited = false
        window = bytes
        windowStart = 0
        position = 0
    }

    mutating func byte() throws -> UInt8 {
        let byte = try peek()
        position += 1
        return byte
    }

    private func endedEarly() -> PyTorchProblem {
        isLimited ? .pickleTooLong(limit: end) : .truncatedPickle(at: end)
    }

    private mutating func peek() throws -> UInt8 {
        guard position < end else { throw endedEarly() }
        if position >= windowStart + window.count, let file {
            windowStart = position
            window = try file.bytes(position..<min(end, position + PickleInput.windowSize))
        }
        return window[position - windowStart]
    }

    /// The next bytes. Nothing is allocated before it is known that they are there.
    mutating func bytes(_ count: Int) throws -> [UInt8] {
        guard count <= end - position else { throw endedEarly() }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            _ = try peek()
            let inWindow = position - windowStart
            let taken = min(count - bytes.count, window.count - inWindow)
            bytes += window[inWindow..<inWindow + taken]
            position += taken
        }
        return bytes
    }

    /// Passes over bytes that are not needed.
    mutating func skip(_ count: Int) throws {
        guard count <= end - position else { throw endedEarly() }
        position += count
    }

    /// The bytes before the next line feed, which is consumed too.
    mutating func line(limit: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let byte = try byte()
            if byte == UInt8(ascii: "\n") { return bytes }
            guard bytes.count < limit else {
                throw PyTorchProblem.malformedPickle(reason: "a line is longer than \(limit) bytes", at: position)
            }
            bytes.append(byte)
        }
    }

    /// A little-endian number of `width` bytes, at most 4.
    mutating func unsigned(_ width: Int) throws -> Int {
        var value = 0
        for index in 0..<width { value |= Int(try byte()) << (8 * index) }
        return value
    }

    /// A little-endian length of `width` bytes; one that is too large for the input is an error.
    mutating func length(_ width: Int) throws -> Int {
        let bytes = try bytes(width)
        let length = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length <= UInt64(end - position) else { throw endedEarly() }
        return Int(length)
    }
}
