import Foundation
import SystemPackage
import TestSupport

/// A safetensors file of float32 and bfloat16 tensors, written the simplest way there is.
struct RandomModels {
    let directory: URL

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("qconv-diff-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    func remove() { try? FileManager.default.removeItem(at: directory) }

    /// Writes float32 vectors.
    func write(_ tensors: [(name: String, values: [Float])], to name: String, metadata: String? = nil) throws
        -> FilePath
    {
        try write(
            tensors.map { name, values in
                (name, "F32", [values.count], values.withUnsafeBytes { Data($0) })
            }, to: name, metadata: metadata)
    }

    func write(
        _ tensors: [(name: String, dtype: String, shape: [Int], data: Data)], to name: String, metadata: String? = nil
    ) throws -> FilePath {
        var offset = 0
        var entries = metadata.map { ["\"__metadata__\": {\"note\": \"\($0)\"}"] } ?? []
        var data = Data()
        for tensor in tensors {
            let end = offset + tensor.data.count
            entries.append(
                "\"\(tensor.name)\": {\"dtype\": \"\(tensor.dtype)\", \"shape\": \(tensor.shape), \"data_offsets\": [\(offset), \(end)]}"
            )
            data.append(tensor.data)
            offset = end
        }
        let header = Data("{\(entries.joined(separator: ", "))}".utf8)
        var file = Data()
        withUnsafeBytes(of: UInt64(header.count).littleEndian) { file.append(contentsOf: $0) }
        file.append(header)
        file.append(data)
        let url = directory.appendingPathComponent(name)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try file.write(to: url)
        return FilePath(url.path)
    }

    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: directory.appendingPathComponent(name))
    }

    func path(_ name: String) -> FilePath { FilePath(directory.appendingPathComponent(name).path) }
}

extension SeededGenerator {
    /// Values of very different sizes, zeros, and with `odd` also NaN and infinities.
    mutating func values(_ count: Int, odd: Bool = false) -> [Float] {
        (0..<count).map { _ in
            if odd, next() % 50 == 0 { return [.nan, .infinity, -.infinity][Int(next() % 3)] }
            if next() % 10 == 0 { return 0 }
            let exponent = Float(Int(next() % 40)) - 30
            return Float.random(in: -1...1, using: &self) * Float(sign: .plus, exponent: Int(exponent), significand: 1)
        }
    }
}
