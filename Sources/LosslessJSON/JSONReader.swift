import OrderedCollections

/// Reads JSON token by token, without building a tree: what a large or hostile document needs that must match a schema
/// (the header of a safetensors file) and be refused at the first byte that does not.
package struct JSONReader {
    private let bytes: [UInt8]
    private let maximumDepth: Int
    private let allowsPythonConstants: Bool
    private var position = 0
    private var depth = 0

    package init(bytes: [UInt8], maximumDepth: Int = 128, allowsPythonConstants: Bool = false) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
        self.allowsPythonConstants = allowsPythonConstants
        skipWhitespace()
    }

    /// The kind of the next value, in the words of ``JSONValue/kind``; `nil` where no value starts.
    package var nextKind: String? {
        guard position < bytes.count else { return nil }
        return switch bytes[position] {
        case UInt8(ascii: "{"): "an object"
        case UInt8(ascii: "["): "a list"
        case UInt8(ascii: "\""): "a string"
        case UInt8(ascii: "t"), UInt8(ascii: "f"): "true or false"
        case UInt8(ascii: "n"): "null"
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): "a number"
        default: nil
        }
    }

    /// The kind of the next value; refuses a place where none starts.
    package func requireKind() throws(JSONParseError) -> String {
        guard let nextKind else { throw unexpected("a value") }
        return nextKind
    }

    /// Consumes these bytes if they are next, whatever they are.
    package mutating func skip(_ literal: StaticString) -> Bool {
        let count = literal.utf8CodeUnitCount
        guard count <= bytes.count - position else { return false }
        for index in 0..<count where bytes[position + index] != literal.utf8Start[index] { return false }
        position += count
        return true
    }

    /// Reads any value as a tree.
    package mutating func readValue() throws(JSONParseError) -> JSONValue {
        try parseValue()
    }

    /// Reads an object: calls `member` with each key, standing before its value, which `member` must read. Keys that
    /// stand twice are for the caller to refuse.
    package mutating func readObject(_ member: (String, inout JSONReader) throws -> Void) throws {
        guard position < bytes.count, bytes[position] == UInt8(ascii: "{") else { throw unexpected("an object") }
        try enter()
        if leaves(with: UInt8(ascii: "}")) { return }
        while true {
            let key = try parseKey()
            try member(key, &self)
            skipWhitespace()
            if try closes(with: UInt8(ascii: "}"), "',' or '}'") { return }
        }
    }

    /// Reads a list: calls `element` before each element, which it must read.
    package mutating func readArray(_ element: (inout JSONReader) throws -> Void) throws {
        guard position < bytes.count, bytes[position] == UInt8(ascii: "[") else { throw unexpected("a list") }
        try enter()
        if leaves(with: UInt8(ascii: "]")) { return }
        while true {
            try element(&self)
            skipWhitespace()
            if try closes(with: UInt8(ascii: "]"), "',' or ']'") { return }
        }
    }

    /// Reads a string.
    package mutating func readString() throws(JSONParseError) -> String {
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { throw unexpected("a string") }
        return try parseString()
    }

    /// Reads a number.
    package mutating func readNumber() throws(JSONParseError) -> JSONNumber {
        guard nextKind == "a number" else { throw unexpected("a number") }
        return try parseNumber()
    }

    /// Reads a number that may be an integer: `nil` when it is none, or too large.
    package mutating func readInteger() throws(JSONParseError) -> Int? {
        let start = position
        var value = 0
        var fits = true
        while position < bytes.count, case let digit = bytes[position] &- 0x30, digit < 10 {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(Int(digit))
            fits = fits && !overflow && !carry
            value = sum
            position += 1
        }
        // Most are plain digits, which end at the next comma or bracket.
        let isPlain = position > start && (bytes[start] != UInt8(ascii: "0") || position == start + 1)
        if fits, isPlain, position < bytes.count, isEndOfInteger(bytes[position]) { return value }
        position = start
        return try readNumber().int
    }

    /// Reads a list of at most `limit` integers from 0 on. Answers `nil`, somewhere in it, where it is another list or none.
    package mutating func readNaturalNumbers(limit: Int) -> [Int]? {
        var numbers: [Int] = []
        guard skip("[") else { return nil }
        if skip("]") { return numbers }
        repeat {
            skipWhitespace()
            guard let number = try? readInteger(), number >= 0, numbers.count < limit else { return nil }
            numbers.append(number)
        } while skip(",")
        return skip("]") ? numbers : nil
    }

    private func isEndOfInteger(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: ",") || byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}")
    }

    /// Expects the end of the document.
    package mutating func finish() throws(JSONParseError) {
        skipWhitespace()
        guard position == bytes.count else { throw error(.trailingContent) }
    }

    private func error(_ reason: JSONParseError.Reason, at offset: Int? = nil) -> JSONParseError {
        let offset = offset ?? position
        var line = 1
        var lineStart = 0
        for index in 0..<min(offset, bytes.count) where bytes[index] == UInt8(ascii: "\n") {
            line += 1
            lineStart = index + 1
        }
        return JSONParseError(reason: reason, offset: offset, line: line, column: offset - lineStart + 1)
    }

    private func unexpected(_ expected: String) -> JSONParseError {
        position < bytes.count
            ? error(.unexpectedByte(bytes[position], expected: expected)) : error(.unexpectedEnd)
    }

    private mutating func skipWhitespace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0a, 0x0d: position += 1
            default: return
            }
        }
    }

    private mutating func parseValue() throws(JSONParseError) -> JSONValue {
        guard position < bytes.count else { throw error(.unexpectedEnd) }
        switch bytes[position] {
        case UInt8(ascii: "{"): return try parseObject()
        case UInt8(ascii: "["): return try parseArray()
        case UInt8(ascii: "\""): return .string(try parseString())
        case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
        case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
        case UInt8(ascii: "n"): return try parseWord("null", .null)
        case UInt8(ascii: "N") where allowsPythonConstants: return try parseConstant("NaN")
        case UInt8(ascii: "I") where allowsPythonConstants: return try parseConstant("Infinity")
        case UInt8(ascii: "-")
        where allowsPythonConstants && position + 1 < bytes.count && bytes[position + 1] == UInt8(ascii: "I"):
            return try parseConstant("-Infinity")
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try parseNumber())
        default: throw unexpected("a value")
        }
    }

    private mutating func parseWord(_ word: StaticString, _ value: JSONValue) throws(JSONParseError) -> JSONValue {
        for index in 0..<word.utf8CodeUnitCount {
            guard position < bytes.count, bytes[position] == word.utf8Start[index] else { throw unexpected("\(word)") }
            position += 1
        }
        return value
    }

    private mutating func parseConstant(_ word: StaticString) throws(JSONParseError) -> JSONValue {
        try parseWord(word, .number(JSONNumber(validText: "\(word)")))
    }

    private mutating func enter() throws(JSONParseError) {
        depth += 1
        guard depth <= maximumDepth else { throw error(.tooDeep(limit: maximumDepth)) }
        position += 1
        skipWhitespace()
    }

    /// Consumes the closing byte of an empty object or list.
    private mutating func leaves(with close: UInt8) -> Bool {
        guard position < bytes.count, bytes[position] == close else { return false }
        position += 1
        depth -= 1
        return true
    }

    /// A key and the colon after it.
    private mutating func parseKey() throws(JSONParseError) -> String {
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { throw unexpected("a key") }
        let key = try parseString()
        skipWhitespace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: ":") else { throw unexpected("':'") }
        position += 1
        skipWhitespace()
        return key
    }

    private mutating func parseObject() throws(JSONParseError) -> JSONValue {
        try enter()
        var members = OrderedDictionary<String, JSONValue>()
        if leaves(with: UInt8(ascii: "}")) { return .object(members) }
        while true {
            let keyOffset = position
            let key = try parseKey()
            let value = try parseValue()
            let count = members.count
            members[key] = value
            guard members.count > count else {
                let isSame = members.keys.contains { $0.utf8.elementsEqual(key.utf8) }
                throw error(isSame ? .duplicateKey(key) : .equivalentKey(key), at: keyOffset)
            }
            skipWhitespace()
            if try closes(with: UInt8(ascii: "}"), "',' or '}'") { return .object(members) }
        }
    }

    private mutating func parseArray() throws(JSONParseError) -> JSONValue {
        try enter()
        var elements: [JSONValue] = []
        if leaves(with: UInt8(ascii: "]")) { return .array(elements) }
        while true {
            elements.append(try parseValue())
            skipWhitespace()
            if try closes(with: UInt8(ascii: "]"), "',' or ']'") { return .array(elements) }
        }
    }

    /// Consumes a comma (and answers false) or the closing byte (and answers true).
    private mutating func closes(with close: UInt8, _ expected: String) throws(JSONParseError) -> Bool {
        guard position < bytes.count else { throw error(.unexpectedEnd) }
        if bytes[position] == close {
            position += 1
            depth -= 1
            return true
        }
        guard bytes[position] == UInt8(ascii: ",") else { throw unexpected(expected) }
        position += 1
        skipWhitespace()
        return false
    }

    private mutating func parseNumber() throws(JSONParseError) -> JSONNumber {
        let start = position
        func isDigit(_ index: Int) -> Bool { index < bytes.count && (0x30...0x39).contains(bytes[index]) }
        if bytes[position] == UInt8(ascii: "-") { position += 1 }
        guard isDigit(position) else { throw error(.invalidNumber, at: start) }
        if bytes[position] == UInt8(ascii: "0") {
            position += 1
            guard !isDigit(position) else { throw error(.invalidNumber, at: start) }
        } else {
            while isDigit(position) { position += 1 }
        }
        if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
            position += 1
            guard isDigit(position) else { throw error(.invalidNumber, at: start) }
            while isDigit(position) { position += 1 }
        }
        if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
            position += 1
            if position < bytes.count, bytes[position] == UInt8(ascii: "+") || bytes[position] == UInt8(ascii: "-") {
                position += 1
            }
            guard isDigit(position) else { throw error(.invalidNumber, at: start) }
            while isDigit(position) { position += 1 }
        }
        return JSONNumber(validText: String(decoding: bytes[start..<position], as: UTF8.self))
    }

    private mutating func parseString() throws(JSONParseError) -> String {
        position += 1
        let start = position
        // Most strings have no escapes: find the end, copy once; what is not plain ASCII is validated.
        let isASCII = skipPlainBytes()
        guard position < bytes.count else { throw error(.unexpectedEnd) }
        switch bytes[position] {
        case UInt8(ascii: "\""):
            let text = bytes.withUnsafeBufferPointer { bytes in
                let range = UnsafeBufferPointer(rebasing: bytes[start..<position])
                return isASCII ? String(decoding: range, as: UTF8.self) : String(validating: range, as: UTF8.self)
            }
            guard let text else { throw error(.invalidUTF8, at: start) }
            position += 1
            return text
        case UInt8(ascii: "\\"): return try parseEscapedString(from: start)
        default: throw error(.controlCharacter)
        }
    }

    /// Goes to the end of a string, or to what does not stand for itself. Answers whether all before it is ASCII.
    private mutating func skipPlainBytes() -> Bool {
        bytes.withUnsafeBufferPointer { bytes in
            var bits: UInt8 = 0
            while position < bytes.count, case let byte = bytes[position], byte >= 0x20, byte != UInt8(ascii: "\""),
                byte != UInt8(ascii: "\\")
            {
                bits |= byte
                position += 1
            }
            return bits < 0x80
        }
    }

    private mutating func parseEscapedString(from start: Int) throws(JSONParseError) -> String {
        var buffer = Array(bytes[start..<position])
        while position < bytes.count {
            let byte = bytes[position]
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: buffer, as: UTF8.self) else {
                    throw error(.invalidUTF8, at: start)
                }
                position += 1
                return text
            case UInt8(ascii: "\\"):
                position += 1
                try parseEscape(into: &buffer)
            case 0..<0x20:
                throw error(.controlCharacter)
            default:
                buffer.append(byte)
                position += 1
            }
        }
        throw error(.unexpectedEnd)
    }

    private mutating func parseEscape(into buffer: inout [UInt8]) throws(JSONParseError) {
        guard position < bytes.count else { throw error(.unexpectedEnd) }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): buffer.append(byte)
        case UInt8(ascii: "b"): buffer.append(0x08)
        case UInt8(ascii: "f"): buffer.append(0x0c)
        case UInt8(ascii: "n"): buffer.append(0x0a)
        case UInt8(ascii: "r"): buffer.append(0x0d)
        case UInt8(ascii: "t"): buffer.append(0x09)
        case UInt8(ascii: "u"):
            let unit = try parseHexUnit()
            var scalar = UInt32(unit)
            if (0xD800..<0xDC00).contains(unit) {
                guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
                    bytes[position + 1] == UInt8(ascii: "u")
                else { throw error(.invalidEscape) }
                position += 2
                let low = try parseHexUnit()
                guard (0xDC00..<0xE000).contains(low) else { throw error(.invalidEscape) }
                scalar = 0x10000 + (UInt32(unit) - 0xD800) << 10 + (UInt32(low) - 0xDC00)
            }
            guard let character = Unicode.Scalar(scalar) else { throw error(.invalidEscape) }
            buffer.append(contentsOf: String(character).utf8)
        default: throw error(.invalidEscape, at: position - 1)
        }
    }

    private mutating func parseHexUnit() throws(JSONParseError) -> UInt16 {
        guard position + 4 <= bytes.count else { throw error(.unexpectedEnd) }
        var unit: UInt16 = 0
        for byte in bytes[position..<position + 4] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
                throw error(.invalidEscape)
            }
            unit = unit << 4 | UInt16(digit)
        }
        position += 4
        return unit
    }
}
