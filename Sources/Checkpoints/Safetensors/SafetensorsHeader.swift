import LosslessJSON
import Tensors

/// The header of a safetensors file, completely checked.
public struct SafetensorsHeader: Sendable {
    /// The longest header that readers accept, in bytes (`MAX_HEADER_SIZE` of the reference implementation).
    public static let maximumLength = 100_000_000
    /// More dimensions than any library has; keeps a hostile header from costing many times its own size.
    static let maximumDimensions = 64

    /// The tensors in the order of their data; empty ones before the tensor that starts at the same byte.
    public let entries: [SafetensorsEntry]
    /// `__metadata__`; `nil` when the file has none.
    public let metadata: [String: String]?

    /// Parses and checks a header.
    ///
    /// - Parameters:
    ///   - json: The header without its length field.
    ///   - fileSize: The size of the whole file in bytes, at least 8 + the header's length.
    package init(json: [UInt8], fileSize: Int) throws(SafetensorsProblem) {
        guard json.first == UInt8(ascii: "{") else { throw .headerIsNoObject }
        var parser = SafetensorsHeaderParser()
        do {
            try parser.parse(json)
        } catch let problem as SafetensorsProblem {
            throw problem
        } catch {
            throw (error as? JSONParseError).map { .invalidJSON($0) } ?? .headerIsNoObject
        }
        metadata = parser.metadata
        entries = try SafetensorsHeader.place(parser.tensors, dataStart: 8 + json.count, fileSize: fileSize)
    }

    /// Checks that the tensors fill the data without overlap, hole, lack or excess.
    private static func place(
        _ tensors: [SafetensorsHeaderParser.Tensor], dataStart: Int, fileSize: Int
    ) throws(SafetensorsProblem) -> [SafetensorsEntry] {
        let dataSize = fileSize - dataStart
        let order = tensors.indices.sorted { left, right in
            let (a, b) = (tensors[left], tensors[right])
            return (a.begin, a.end, left) < (b.begin, b.end, right)
        }
        var position = 0
        var previous = ""
        for index in order {
            let tensor = tensors[index]
            guard tensor.begin >= position else { throw .overlap(name: tensor.name, other: previous) }
            guard tensor.begin == position else {
                throw .hole(beforeTensor: tensor.name, byteCount: tensor.begin - position)
            }
            position = tensor.end
            previous = tensor.name
        }
        guard position <= dataSize else { throw .truncated(missingBytes: position - dataSize) }
        guard position == dataSize else { throw .oversized(extraBytes: dataSize - position) }
        return order.map { index in
            let tensor = tensors[index]
            return SafetensorsEntry(
                name: tensor.name, dtype: tensor.dtype, shape: tensor.shape,
                range: dataStart + tensor.begin..<dataStart + tensor.end)
        }
    }
}
