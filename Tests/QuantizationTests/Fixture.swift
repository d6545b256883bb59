import Foundation
import Tensors
import Testing

/// What bitsandbytes and torch computed; made by Tests/Fixtures/quantization/make_fixtures.py.
struct Fixture: Decodable, Sendable {
    /// A range of quantization.bin.
    struct Slice: Decodable, Sendable {
        let offset: Int
        let length: Int

        init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            offset = try container.decode(Int.self)
            length = try container.decode(Int.self)
        }

        var bytes: [UInt8] { Array(Fixture.data[offset..<offset + length]) }
        var floats: [Float] { elements() }

        func elements<Element: BitwiseCopyable>(of type: Element.Type = Element.self) -> [Element] {
            bytes.withUnsafeBytes { bytes in
                (0..<length / MemoryLayout<Element>.size).map {
                    bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Element>.size, as: Element.self)
                }
            }
        }
    }

    /// A tensor quantized to 4 bits.
    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        let name: String
        let dtype: String
        let count: Int
        let blocksize: Int
        let quantType: String
        let values: Slice
        let codes: Slice
        let decoded: Slice
        let absmax: Slice?
        let absmaxCodes: Slice?
        let nestedAbsmax: Slice?
        let offset: Slice?
        let decodedAbsmax: Slice?

        var testDescription: String { name }
    }

    /// Scales quantized to 8 bits, without an offset.
    struct Scales: Decodable, Sendable {
        let values: Slice
        let codes: Slice
        let nestedAbsmax: Slice
    }

    /// float32 values and the same in a narrower dtype, one way or the other.
    struct Conversion: Decodable, Sendable, CustomTestStringConvertible {
        let dtype: String
        let values: Slice
        let encoded: Slice

        var testDescription: String { dtype }
    }

    let levels: [String: Slice]
    let dynamicMap: Slice
    let cases: [Case]
    let scales: [Scales]
    let encodings: [Conversion]
    let decodings: [Conversion]

    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../Fixtures/quantization").standardized

    private static let data: [UInt8] = {
        guard let data = try? Data(contentsOf: folder.appending(path: "quantization.bin")) else { return [] }
        return Array(data)
    }()

    static let all: Fixture = {
        do {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            return try decoder.decode(
                Fixture.self, from: Data(contentsOf: folder.appending(path: "quantization.json")))
        } catch {
            preconditionFailure("Tests/Fixtures/quantization cannot be read: \(error)")
        }
    }()
}
