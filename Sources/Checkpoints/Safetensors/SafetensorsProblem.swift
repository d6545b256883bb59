import LosslessJSON
import Tensors

/// Every way in which a file can fail to be safetensors.
public enum SafetensorsProblem: Error, Hashable, Sendable {
    /// Fewer than the 8 bytes that hold the header's length.
    case tooShort(fileSize: Int)
    case headerTooLong(length: UInt64, limit: Int)
    /// The header would end after the file does.
    case headerBeyondFile(length: UInt64, fileSize: Int)
    /// The header does not start with `{`.
    case headerIsNoObject
    case invalidJSON(JSONParseError)
    case duplicateName(String)
    case equivalentNames(EquivalentNames)
    /// `__metadata__` is something else than an object whose values are strings.
    case invalidMetadata(found: String)
    case entryIsNoObject(name: String, found: String)
    case missingKey(name: String, key: String)
    case unknownKey(name: String, key: String)
    case duplicateKey(name: String, key: String)
    case wrongType(name: String, key: String, expected: String)
    case unknownDType(name: String, dtype: String)
    case tooManyDimensions(name: String, limit: Int)
    /// The number of elements or bytes does not fit in 64 bits.
    case tooLarge(name: String, dtype: DType, shape: [Int])
    /// A sub-byte dtype whose elements do not fill whole bytes.
    case partialByte(name: String, dtype: DType, shape: [Int])
    /// `data_offsets` that end before they begin.
    case backwardOffsets(name: String, begin: Int, end: Int)
    case wrongSize(name: String, dtype: DType, shape: [Int], expected: Int, found: Int)
    case overlap(name: String, other: String)
    /// Bytes that belong to no tensor, before a tensor.
    case hole(beforeTensor: String, byteCount: Int)
    case truncated(missingBytes: Int)
    case oversized(extraBytes: Int)
}

extension SafetensorsProblem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .tooShort(let fileSize):
            "the file has \(fileSize) bytes, too few for a safetensors file; was it downloaded completely?"
        case .headerTooLong(let length, let limit):
            "the header claims \(length) bytes, more than the \(limit) that are allowed; this is no safetensors file"
        case .headerBeyondFile(let length, let fileSize):
            """
            the header claims \(length) bytes, but the file has \(fileSize); it is cut short or no safetensors file
            """
        case .headerIsNoObject: "the header does not start with '{'; this is no safetensors file"
        case .invalidJSON(let error): "the header is not valid JSON: \(error)"
        case .duplicateName(let name): "the header lists tensor \"\(name)\" twice"
        case .equivalentNames(let names): "the names of tensors \(names)"
        case .invalidMetadata(let found): "__metadata__ must map strings to strings, found \(found)"
        case .entryIsNoObject(let name, let found): "tensor \"\(name)\": expected an object, found \(found)"
        case .missingKey(let name, let key): "tensor \"\(name)\": \"\(key)\" is missing"
        case .unknownKey(let name, let key): "tensor \"\(name)\": unknown key \"\(key)\""
        case .duplicateKey(let name, let key): "tensor \"\(name)\": \"\(key)\" stands twice"
        case .wrongType(let name, let key, let expected): "tensor \"\(name)\": \"\(key)\" must be \(expected)"
        case .unknownDType(let name, let dtype):
            "tensor \"\(name)\": unknown dtype \"\(dtype)\"; known are those of safetensors 0.8"
        case .tooManyDimensions(let name, let limit): "tensor \"\(name)\": more than \(limit) dimensions"
        case .tooLarge(let name, let dtype, let shape):
            "tensor \"\(name)\": \(dtype.rawValue) \(shape) is larger than any file"
        case .partialByte(let name, let dtype, let shape):
            "tensor \"\(name)\": \(dtype.rawValue) \(shape) does not fill whole bytes"
        case .backwardOffsets(let name, let begin, let end):
            "tensor \"\(name)\": data_offsets [\(begin), \(end)] end before they begin"
        case .wrongSize(let name, let dtype, let shape, let expected, let found):
            "tensor \"\(name)\": \(dtype.rawValue) \(shape) takes \(expected) bytes, data_offsets hold \(found)"
        case .overlap(let name, let other): "the data of tensors \"\(other)\" and \"\(name)\" overlap"
        case .hole(let name, let byteCount): "\(byteCount) bytes before tensor \"\(name)\" belong to no tensor"
        case .truncated(let missing):
            "the file is truncated: \(missing) bytes are missing at its end; download or copy it again"
        case .oversized(let extra): "the file has \(extra) bytes more than its header describes"
        }
    }
}
