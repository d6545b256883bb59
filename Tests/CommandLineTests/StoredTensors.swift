import Foundation
import LosslessJSON
import Testing

/// The tensors of a safetensors file, read the simplest way there is: independent of the reader under test.
struct StoredTensors {
    struct Tensor: Equatable {
        let dtype: String
        let shape: [Int]
        let data: Data
    }

    let tensors: [String: Tensor]

    init(_ url: URL) throws {
        let bytes = try Data(contentsOf: url)
        let length = Int(bytes.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
        let header = try JSONValue(parsing: bytes[8..<8 + length])
        var tensors: [String: Tensor] = [:]
        for (name, entry) in header.object ?? [:] where name != "__metadata__" {
            let offsets = (entry["data_offsets"]?.array ?? []).compactMap(\.int)
            try #require(offsets.count == 2)
            tensors[name] = Tensor(
                dtype: try #require(entry["dtype"]?.string), shape: entry["shape"]?.array?.compactMap(\.int) ?? [],
                data: Data(bytes[8 + length + offsets[0]..<8 + length + offsets[1]]))
        }
        self.tensors = tensors
    }

    subscript(_ name: String) -> Tensor? { tensors[name] }
}

extension StoredTensors.Tensor {
    /// The elements of a 16- or 32-bit floating-point tensor.
    var floats: [Float] {
        func integers<Bits: FixedWidthInteger>(_ type: Bits.Type) -> [Bits] {
            data.withUnsafeBytes { raw in
                (0..<raw.count / MemoryLayout<Bits>.size).map {
                    Bits(littleEndian: raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Bits>.size, as: Bits.self))
                }
            }
        }
        return switch dtype {
        case "F32": integers(UInt32.self).map(Float.init(bitPattern:))
        case "BF16": integers(UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
        case "F16": integers(UInt16.self).map { Float(Float16(bitPattern: $0)) }
        default: []
        }
    }

    /// Two 4-bit codes for each byte.
    var codes: [UInt8] { data.flatMap { [$0 >> 4, $0 & 15] } }
}

/// How many elements of two sequences differ.
func differences<Element: Equatable>(_ a: [Element], _ b: [Element]) -> Int {
    zip(a, b).reduce(abs(a.count - b.count)) { $0 + ($1.0 == $1.1 ? 0 : 1) }
}
