import Adapters
import Foundation
import LosslessJSON
import SystemPackage
import Tensors

/// The files that PEFT made for these tests.
enum Fixtures {
    static let directory = FilePath(#filePath).removingLastComponent().removingLastComponent()
        .appending("Fixtures").appending("adapters")

    static func json(_ path: String) throws -> JSONValue {
        try JSONValue(parsing: try bytes(directory.appending(path)))
    }

    static func bytes(_ path: FilePath) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: path.string)))
    }

    /// The tensors of the model that a fixture was trained on.
    static func base(of fixture: String) throws -> [LogicalTensor] {
        try json("\(fixture)/base.json").object!.map { name, shape in
            LogicalTensor(name: name, shape: shape.array!.map { $0.int! }, encoding: .dense(.f32))
        }
    }
}

/// A tensor to be written into a safetensors file.
struct StoredTensor {
    var name: String
    var dtype: DType
    var shape: [Int]
    /// As many bytes as the shape asks for; zeros when `nil`.
    var bytes: [UInt8]?

    init(_ name: String, _ dtype: DType, _ shape: [Int], bytes: [UInt8]? = nil) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.bytes = bytes
    }

    init(_ name: String, _ shape: [Int]) {
        self.init(name, .f32, shape)
    }

    init(_ name: String, _ shape: [Int], values: [Float]) {
        self.init(
            name, .f32, shape, bytes: values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) })
    }
}

/// A directory that is removed with this object.
final class TemporaryDirectory {
    let path: FilePath

    init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("adapters-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = FilePath(url.path)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path.string)
    }

    func makeDirectory(_ name: String) throws {
        try FileManager.default.createDirectory(
            atPath: path.appending(name).string, withIntermediateDirectories: true)
    }

    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path.appending(name).string))
    }

    func write(_ tensors: [StoredTensor], to name: String = "adapter_model.safetensors") throws {
        var header = JSONValue.object([:])
        var data: [UInt8] = []
        for tensor in tensors {
            let bytes =
                tensor.bytes ?? Array(repeating: 0, count: tensor.dtype.byteCount(elements: tensor.shape.reduce(1, *))!)
            header[tensor.name] = [
                "dtype": .string(tensor.dtype.rawValue), "shape": .array(tensor.shape.map { .int($0) }),
                "data_offsets": [.int(data.count), .int(data.count + bytes.count)],
            ]
            data += bytes
        }
        let text = Array(header.serialized().utf8)
        let file = withUnsafeBytes(of: UInt64(text.count).littleEndian, Array.init) + text + data
        try Data(file).write(to: URL(fileURLWithPath: path.appending(name).string))
    }
}

extension TemporaryDirectory {
    /// A directory with an adapter: a configuration as PEFT writes it with some fields changed, and tensors.
    static func adapter(_ changes: [(String, JSONValue)] = [], _ tensors: [StoredTensor] = modulePair()) throws
        -> TemporaryDirectory
    {
        let directory = try TemporaryDirectory()
        try directory.write(configuration(changes).serialized(.pythonIndented), to: "adapter_config.json")
        try directory.write(tensors)
        return directory
    }

    /// The configuration of a plain adapter of rank 2 for any module, with every field of PEFT, and changes to it.
    static func configuration(_ changes: [(String, JSONValue)] = []) throws -> JSONValue {
        var document = try Fixtures.json("fields.json")
        document["peft_type"] = "LORA"
        document["r"] = 2
        for (key, value) in changes { document[key] = value }
        return document
    }

    /// The factors of one module, [out, in] = [5, 3], rank 2.
    static func modulePair(_ module: String = "model.layers.0.q_proj", dtype: DType = .f32) -> [StoredTensor] {
        [
            StoredTensor("base_model.model.\(module).lora_A.weight", dtype, [2, 3]),
            StoredTensor("base_model.model.\(module).lora_B.weight", dtype, [5, 2]),
        ]
    }
}
