import LosslessJSON
import Tensors

/// Parses a header without building a tree, so that a hostile one is refused at its first wrong byte.
struct SafetensorsHeaderParser {
    /// A tensor whose size agrees with its offsets; the offsets have not been compared to anything else yet.
    struct Tensor {
        let name: String
        let dtype: DType
        let shape: [Int]
        /// Bytes from the start of the data.
        let begin: Int
        let end: Int
    }

    private(set) var tensors: [Tensor] = []
    private(set) var metadata: [String: String]?
    /// By name the place among the tensors.
    private(set) var indices: [String: Int] = [:]
    /// The last dtype, which is most often the next one, too.
    private var known = (text: DType.f32.rawValue, dtype: DType.f32)

    /// About what an entry takes of a header, in bytes.
    private static let typicalEntryLength = 128

    /// - Throws: ``SafetensorsProblem`` or `JSONParseError`.
    mutating func parse(_ json: [UInt8]) throws {
        // The deepest value is shape: object, entry, list.
        var reader = JSONReader(bytes: json, maximumDepth: 4)
        indices.reserveCapacity(json.count / SafetensorsHeaderParser.typicalEntryLength)
        try reader.readObject { name, reader in
            if name == "__metadata__" {
                guard metadata == nil else { throw SafetensorsProblem.duplicateName(name) }
                metadata = try SafetensorsHeaderParser.parseMetadata(&reader)
            } else {
                if let other = indices.updateValue(tensors.count, forKey: name) {
                    throw EquivalentNames(tensors[other].name, name).map { SafetensorsProblem.equivalentNames($0) }
                        ?? .duplicateName(name)
                }
                tensors.append(try parseUsualTensor(name, &reader) ?? parseTensor(name, &reader))
            }
        }
        try reader.finish()
    }

    private static func parseMetadata(_ reader: inout JSONReader) throws -> [String: String] {
        let kind = try reader.requireKind()
        guard kind == "an object" else {
            throw SafetensorsProblem.invalidMetadata(found: kind)
        }
        var metadata: [String: String] = [:]
        try reader.readObject { key, reader in
            let kind = try reader.requireKind()
            guard kind == "a string" else {
                throw SafetensorsProblem.invalidMetadata(
                    found: "\(kind) as the value of \"\(key)\"")
            }
            guard metadata.updateValue(try reader.readString(), forKey: key) == nil else {
                throw SafetensorsProblem.duplicateKey(name: "__metadata__", key: key)
            }
        }
        return metadata
    }

    /// A tensor as the reference implementation writes it: without white space, its keys in this order. Answers `nil` and reads
    /// nothing where it is written in another way, or is wrong.
    private mutating func parseUsualTensor(_ name: String, _ reader: inout JSONReader) throws -> Tensor? {
        var attempt = reader
        guard attempt.skip("{\"dtype\":"), let dtype = usualDType(&attempt), attempt.skip(",\"shape\":"),
            let shape = attempt.readNaturalNumbers(limit: SafetensorsHeader.maximumDimensions),
            attempt.skip(",\"data_offsets\":"), let offsets = attempt.readNaturalNumbers(limit: 2), offsets.count == 2,
            attempt.skip("}")
        else { return nil }
        reader = attempt
        return try SafetensorsHeaderParser.tensor(name, dtype, shape, offsets)
    }

    private mutating func usualDType(_ reader: inout JSONReader) -> DType? {
        guard let text = try? reader.readString() else { return nil }
        if text != known.text {
            guard let dtype = DType(rawValue: text) else { return nil }
            known = (text, dtype)
        }
        return known.dtype
    }

    private func parseTensor(_ name: String, _ reader: inout JSONReader) throws -> Tensor {
        let kind = try reader.requireKind()
        guard kind == "an object" else {
            throw SafetensorsProblem.entryIsNoObject(name: name, found: kind)
        }
        var dtype: DType?
        var shape: [Int]?
        var offsets: [Int]?
        try reader.readObject { key, reader in
            switch key {
            case "dtype":
                guard dtype == nil else { throw SafetensorsProblem.duplicateKey(name: name, key: key) }
                dtype = try SafetensorsHeaderParser.parseDType(name, &reader)
            case "shape":
                guard shape == nil else { throw SafetensorsProblem.duplicateKey(name: name, key: key) }
                shape = try SafetensorsHeaderParser.parseNumbers(
                    &reader, limit: SafetensorsHeader.maximumDimensions,
                    wrong: .wrongType(name: name, key: key, expected: "a list of integers from 0 on"),
                    tooMany: .tooManyDimensions(name: name, limit: SafetensorsHeader.maximumDimensions))
            case "data_offsets":
                guard offsets == nil else { throw SafetensorsProblem.duplicateKey(name: name, key: key) }
                let wrong = SafetensorsProblem.wrongType(name: name, key: key, expected: "two integers from 0 on")
                let numbers = try SafetensorsHeaderParser.parseNumbers(
                    &reader, limit: 2, wrong: wrong, tooMany: wrong)
                guard numbers.count == 2 else { throw wrong }
                offsets = numbers
            default: throw SafetensorsProblem.unknownKey(name: name, key: key)
            }
        }
        guard let dtype else { throw SafetensorsProblem.missingKey(name: name, key: "dtype") }
        guard let shape else { throw SafetensorsProblem.missingKey(name: name, key: "shape") }
        guard let offsets else { throw SafetensorsProblem.missingKey(name: name, key: "data_offsets") }
        return try SafetensorsHeaderParser.tensor(name, dtype, shape, offsets)
    }

    /// A tensor whose size has been compared to its offsets.
    private static func tensor(
        _ name: String, _ dtype: DType, _ shape: [Int], _ offsets: [Int]
    ) throws(SafetensorsProblem) -> Tensor {
        let (begin, end) = (offsets[0], offsets[1])
        guard begin <= end else { throw .backwardOffsets(name: name, begin: begin, end: end) }
        let expected = try byteCount(name, dtype, shape)
        guard end - begin == expected else {
            throw .wrongSize(
                name: name, dtype: dtype, shape: shape, expected: expected, found: end - begin)
        }
        return Tensor(name: name, dtype: dtype, shape: shape, begin: begin, end: end)
    }

    private static func parseDType(_ name: String, _ reader: inout JSONReader) throws -> DType {
        guard try reader.requireKind() == "a string" else {
            throw SafetensorsProblem.wrongType(name: name, key: "dtype", expected: "a string")
        }
        let text = try reader.readString()
        guard let dtype = DType(rawValue: text) else {
            throw SafetensorsProblem.unknownDType(name: name, dtype: text)
        }
        return dtype
    }

    private static func parseNumbers(
        _ reader: inout JSONReader, limit: Int, wrong: SafetensorsProblem, tooMany: SafetensorsProblem
    ) throws -> [Int] {
        guard try reader.requireKind() == "a list" else { throw wrong }
        var numbers: [Int] = []
        try reader.readArray { reader in
            guard try reader.requireKind() == "a number", let number = try reader.readInteger(), number >= 0 else {
                throw wrong
            }
            guard numbers.count < limit else { throw tooMany }
            numbers.append(number)
        }
        return numbers
    }

    private static func byteCount(_ name: String, _ dtype: DType, _ shape: [Int]) throws(SafetensorsProblem) -> Int {
        guard let elements = checkedElementCount(shape) else {
            throw .tooLarge(name: name, dtype: dtype, shape: shape)
        }
        if let bytes = dtype.byteCount(elements: elements) { return bytes }
        guard !elements.multipliedReportingOverflow(by: dtype.bits).overflow else {
            throw .tooLarge(name: name, dtype: dtype, shape: shape)
        }
        throw .partialByte(name: name, dtype: dtype, shape: shape)
    }
}

/// The product of dimensions, or `nil` when it overflows on the way.
func checkedElementCount(_ shape: [Int]) -> Int? {
    var count = 1
    for dimension in shape {
        let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
        guard !overflow, dimension >= 0 else { return nil }
        count = product
    }
    return count
}
