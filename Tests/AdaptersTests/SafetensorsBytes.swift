import Adapters
import Checkpoints
import LosslessJSON
import SystemPackage
import Tensors

/// A whole safetensors file in memory, read without checks.
struct SafetensorsBytes: CheckpointReader {
    let tensors: [LogicalTensor]
    let metadata: [String: String] = [:]
    let files: [FilePath]
    private let ranges: [Range<Int>]
    private let data: [UInt8]

    init(_ path: FilePath) throws {
        files = [path]
        data = try Fixtures.bytes(path)
        let length = data.withUnsafeBytes { Int(UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self))) }
        var tensors: [LogicalTensor] = []
        var ranges: [Range<Int>] = []
        for (name, info) in try JSONValue(parsing: data[8..<8 + length]).object! where name != "__metadata__" {
            tensors.append(
                LogicalTensor(
                    name: name, shape: info["shape"]!.array!.map { $0.int! },
                    encoding: .dense(DType(rawValue: info["dtype"]!.string!)!)))
            let offsets = info["data_offsets"]!.array!.map { 8 + length + $0.int! }
            ranges.append(offsets[0]..<offsets[1])
        }
        self.tensors = tensors
        self.ranges = ranges
    }

    func read(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        buffer.copyBytes(from: data[ranges[tensor]].dropFirst(offset).prefix(buffer.count))
    }

    func bytes(named name: String) -> [UInt8]? {
        tensors.firstIndex { $0.name == name }.map { Array(data[ranges[$0]]) }
    }
}

extension LoRAAdapter {
    init(testing directory: FilePath) throws {
        try self.init(directory: directory) { try SafetensorsBytes($0) }
    }
}
