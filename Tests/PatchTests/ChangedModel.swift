import Checkpoints
import Foundation
import SampleModels
import SystemPackage
import Tensors
import TestSupport

extension SampleModel {
    /// A little of everything, with side files that a model's directory has.
    static func checkpoint(seed: UInt64) -> SampleModel {
        var model = SampleModel.varied(seed: seed)
        model.sideFiles = [
            SideFile(name: "config.json", content: .bytes(Array("{\"hidden_size\": 192}\n".utf8))),
            SideFile(name: "tokenizer.json", content: .bytes(Array(repeating: 0x41, count: 3000))),
            SideFile(name: "additional_chat_templates/rag.jinja", content: .bytes(Array("{{ documents }}".utf8))),
            SideFile(name: "merges.txt", content: .bytes([])),
        ]
        return model
    }

    /// What training might make of the model: codes that move, scales and values that change a little, a quant state of
    /// another length, a changed, a new and a dropped side file. Some tensors stay as they are.
    func changed(seed: UInt64) -> SampleModel {
        var generator = SeededGenerator(seed: seed)
        var model = self
        for tensor in tensors.indices where generator.below(3) > 0 {
            for part in TensorPart.allCases where generator.below(3) > 0 {
                for index in (model.data[tensor][part] ?? []).indices where generator.below(11) == 0 {
                    model.data[tensor][part]?[index] &+= UInt8(generator.below(4) &* 16)
                }
            }
            if var quantization = tensors[tensor].encoding.blockQuantization, quantization.doubleQuantization != nil {
                quantization.dtype = .f32
                quantization.doubleQuantization?.offset = Float(generator.unit())
                model.tensors[tensor].encoding = .blockQuantized(quantization)
            }
        }
        model.sideFiles.removeAll { $0.name == "merges.txt" || $0.name == "config.json" }
        model.sideFiles += [
            SideFile(name: "config.json", content: .bytes(Array("{\"hidden_size\": 192, \"new\": 1}".utf8))),
            SideFile(name: "LICENSE", content: .bytes(Array("free".utf8))),
        ]
        return model
    }

    /// Writes the model as a directory of safetensors.
    func write(to path: FilePath, maximumShardSize: Int? = nil) throws {
        let writer = try SafetensorsCheckpointWriter(
            destination: path, tensors: tensors, metadata: metadata, maximumShardSize: maximumShardSize,
            sideFiles: sideFiles, force: true)
        try write(pieces(size: 1 << 20), to: writer)
        try writer.commit()
    }
}

/// Every file below a directory, by its path in it.
func files(in directory: FilePath) throws -> [String: Data] {
    var files: [String: Data] = [:]
    let root = URL(filePath: directory.string)
    for name in try FileManager.default.subpathsOfDirectory(atPath: directory.string) {
        let url = root.appending(path: name)
        if try url.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true {
            files[name] = try Data(contentsOf: url)
        }
    }
    return files
}

extension PatchApplication {
    /// Opens and runs an application.
    static func make(
        _ side: PatchSide, from source: FilePath, _ patch: FilePath, _ output: FilePath, threads: Int = 2
    ) throws {
        try PatchApplication(PatchReader(path: patch), to: ModelDirectory(path: source), making: side)
            .write(to: output, force: true, threads: threads)
    }
}
