import Adapters
import LosslessJSON
import SystemPackage
import Tensors

/// A whole safetensors file in memory, read without checks.
struct SafetensorsBytes: AdapterTensorSource {
    let entries: [AdapterTensorEntry]
    private let ranges: [Range<Int>]
    private let data: [UInt8]

    init(_ path: FilePath) throws {
        data = try Fixtures.bytes(path)
        let length = data.withUnsafeBytes { Int(UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self))) }
        var entries: [AdapterTensorEntry] = []
        var ranges: [Range<Int>] = []
        for (name, info) in try JSONValue(parsing: data[8..<8 + length]).object! where name != "__metadata__" {
            entries.append(
                AdapterTensorEntry(
                    name: name, dtype: DType(rawValue: info["dtype"]!.string!)!,
                    shape: info["shape"]!.array!.map { $0.int! }))
            let offsets = info["data_offsets"]!.array!.map { 8 + length + $0.int! }
            ranges.append(offsets[0]..<offsets[1])
        }
        self.entries = entries
        self.ranges = ranges
    }

    func bytes(ofEntry index: Int) throws -> [UInt8] { Array(data[ranges[index]]) }

    func bytes(named name: String) -> [UInt8]? {
        entries.firstIndex { $0.name == name }.map { Array(data[ranges[$0]]) }
    }
}

extension LoRAAdapter {
    init(testing directory: FilePath) throws {
        try self.init(directory: directory) { try SafetensorsBytes($0) }
    }
}
