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
    /// By name the place among ``entries``.
    let indices: [String: Int]

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
        let tensors = parser.tensors
        let order = try SafetensorsHeader.order(tensors, dataSize: fileSize - 8 - json.count)
        entries = order.map { SafetensorsEntry(tensors[$0], dataStart: 8 + json.count) }
        var places = [Int](repeating: 0, count: order.count)
        for (place, index) in order.enumerated() { places[index] = place }
        indices = parser.indices.mapValues { places[$0] }
    }

    /// The order of the tensors' data, which they must fill without overlap, hole, lack or excess.
    private static func order(
        _ tensors: [SafetensorsHeaderParser.Tensor], dataSize: Int
    ) throws(SafetensorsProblem) -> [Int] {
        let places = tensors.enumerated().map { (begin: $1.begin, end: $1.end, index: $0) }
        let order = places.sorted { ($0.begin, $0.end, $0.index) < ($1.begin, $1.end, $1.index) }.map(\.index)
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
        return order
    }
}

extension SafetensorsEntry {
    fileprivate init(_ tensor: SafetensorsHeaderParser.Tensor, dataStart: Int) {
        self.init(
            name: tensor.name, dtype: tensor.dtype, shape: tensor.shape,
            range: dataStart + tensor.begin..<dataStart + tensor.end)
    }
}
