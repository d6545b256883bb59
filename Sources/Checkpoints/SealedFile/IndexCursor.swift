/// Reads the little-endian numbers and strings of an index; never past its end.
struct IndexCursor {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }
    /// Bytes that are left: a bound for every count that an index may state.
    var remaining: Int { rest.count }

    mutating func byte() throws(SealedFileProblem) -> UInt8 {
        guard let byte = rest.popFirst() else { throw .invalidIndex(reason: "it ends too early") }
        return byte
    }

    mutating func bytes(_ count: Int) throws(SealedFileProblem) -> ArraySlice<UInt8> {
        guard count >= 0, count <= rest.count else { throw .invalidIndex(reason: "it ends too early") }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    mutating func fixed<Value: FixedWidthInteger>() throws(SealedFileProblem) -> Value {
        try bytes(Value.bitWidth / 8).reversed().reduce(0) { $0 << 8 | Value($1) }
    }

    static let longestNumber = 9

    /// An unsigned number in groups of 7 bits, lowest first, each byte but the last with its top bit set (LEB128).
    mutating func number() throws(SealedFileProblem) -> Int {
        var value: UInt64 = 0
        for shift in stride(from: 0, to: 63, by: 7) {
            let byte = try byte()
            value |= UInt64(byte & 0x7F) << UInt64(shift)
            if byte & 0x80 == 0 {
                // The same number in more bytes than it needs would be a second spelling of one file.
                guard byte != 0 || shift == 0 else { throw .invalidIndex(reason: "a number is padded") }
                return Int(value)
            }
        }
        throw .invalidIndex(reason: "a number is larger than any file")
    }

    /// A number of things of which each takes at least a byte.
    mutating func count(of things: String, limit: Int = .max) throws(SealedFileProblem) -> Int {
        let count = try number()
        guard count <= min(limit, remaining) else { throw .invalidIndex(reason: "\(count) \(things) are too many") }
        return count
    }

    mutating func string() throws(SealedFileProblem) -> String {
        let bytes = try bytes(number())
        guard let string = String(validating: bytes, as: UTF8.self) else {
            throw .invalidIndex(reason: "a name is not UTF-8")
        }
        return string
    }
}

extension [UInt8] {
    mutating func appendLittleEndian(_ value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    /// Appends a number as ``IndexCursor/number()`` reads it.
    mutating func appendNumber(_ value: Int) {
        var rest = UInt64(value)
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(rest))
    }

    mutating func appendString(_ value: String) {
        appendNumber(value.utf8.count)
        append(contentsOf: value.utf8)
    }
}
