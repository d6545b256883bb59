import Foundation
import LosslessJSON
import SystemPackage

/// An adapter that a test makes, and a base for it: two layers with two modules each.
final class AdapterFolder {
    let url: URL
    var configuration: JSONValue = [
        "peft_type": "LORA", "base_model_name_or_path": "org/tiny-base", "r": 2, "lora_alpha": 4,
        "target_modules": ["q_proj", "up_proj"],
    ]
    var tensors: [Tensor] = []
    var baseTensors: [Tensor] = []
    var baseConfiguration: JSONValue? = ["model_type": "llama", "_name_or_path": "tiny-base", "dtype": "bfloat16"]

    struct Tensor {
        var name: String
        var dtype = "F32"
        var shape: [Int]
        /// The value of every element, in float32.
        var value: Float = 0.5
        /// The bytes of an element; a float32 when `nil`.
        var bytes: [UInt8]?
    }

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("qconv-lint-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        for layer in 0..<2 { appendLayer(layer) }
        baseTensors.append(Tensor(name: "model.embed_tokens.weight", shape: [16, 8]))
    }

    /// Appends the modules of a layer to the adapter and to the base.
    func appendLayer(_ layer: Int) {
        for (module, out, columns) in [("self_attn.q_proj", 6, 8), ("mlp.up_proj", 10, 8)] {
            let name = "model.layers.\(layer).\(module)"
            tensors.append(Tensor(name: "base_model.model.\(name).lora_A.weight", shape: [2, columns]))
            tensors.append(Tensor(name: "base_model.model.\(name).lora_B.weight", shape: [out, 2]))
            baseTensors.append(Tensor(name: "\(name).weight", shape: [out, columns]))
        }
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }

    var adapter: FilePath { FilePath(url.appendingPathComponent("adapter").path) }
    var base: FilePath { FilePath(url.appendingPathComponent("base").path) }

    func file(_ name: String) -> URL { url.appendingPathComponent("adapter").appendingPathComponent(name) }

    func write() throws {
        for folder in ["adapter", "base"] {
            try FileManager.default.createDirectory(
                at: url.appendingPathComponent(folder), withIntermediateDirectories: true)
        }
        try Data(configuration.serialized().utf8).write(to: file("adapter_config.json"))
        try AdapterFolder.safetensors(tensors).write(to: file("adapter_model.safetensors"))
        let baseFolder = url.appendingPathComponent("base")
        try AdapterFolder.safetensors(baseTensors).write(to: baseFolder.appendingPathComponent("model.safetensors"))
        if let baseConfiguration {
            try Data(baseConfiguration.serialized().utf8).write(to: baseFolder.appendingPathComponent("config.json"))
        }
    }

    private static func safetensors(_ tensors: [Tensor]) -> Data {
        var header: JSONValue = [:]
        var data = Data()
        for tensor in tensors {
            let start = data.count
            let element = tensor.bytes ?? withUnsafeBytes(of: tensor.value.bitPattern.littleEndian) { Array($0) }
            for _ in 0..<tensor.shape.reduce(1, *) { data.append(contentsOf: element) }
            header[tensor.name] = [
                "dtype": .string(tensor.dtype), "shape": .array(tensor.shape.map { .int($0) }),
                "data_offsets": [.int(start), .int(data.count)],
            ]
        }
        let text = Array(header.serialized().utf8)
        var file = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) }
        file.append(contentsOf: text)
        file.append(data)
        return file
    }
}
