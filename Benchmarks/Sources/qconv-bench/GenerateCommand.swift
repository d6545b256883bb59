import ArgumentParser
import Checkpoints
import Quantization
import SystemPackage
import Tensors

struct GenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Makes a Llama-shaped bfloat16 checkpoint of random weights, and an adapter for it.")

    @Argument(help: "The directory to make.")
    var path: String

    @Option(help: "About how many weights; from 500 million on half of them in one tensor.")
    var weights = 135_000_000

    @Option(help: "Instead: at least how many tensors, all of them small.")
    var tensors: Int?

    @Option(help: "Also make a LoRA adapter of all linear weights in this directory.")
    var adapter: String?

    @Option(help: "The adapter's rank.")
    var rank = 16

    @Flag(help: "Make only the adapter: the checkpoint is there already.")
    var adapterOnly = false

    func validate() throws {
        guard adapter != nil || !adapterOnly else { throw ValidationError("--adapter-only needs --adapter.") }
    }

    func run() throws {
        let shape = tensors.map(LlamaShape.init(tensors:)) ?? LlamaShape(weights: weights)
        if !adapterOnly { try writeModel(shape) }
        if let adapter { try write(adapterOf: shape, to: adapter) }
    }

    private func writeModel(_ shape: LlamaShape) throws {
        let model = shape.modelTensors
        try write(
            model, to: FilePath(path),
            sideFile: SideFile(name: "config.json", content: .bytes(Array(shape.configuration.utf8)))
        ) { $0.shape.count == 1 ? nil : 0.02 }
        let count = model.reduce(0) { $0 + $1.elementCount }
        print("\(path): \(model.count) tensors, \(count) weights, the largest \(shape.vocabulary * shape.hidden)")
    }

    private func write(adapterOf shape: LlamaShape, to adapter: String) throws {
        // One file under the name that PEFT gives it.
        let directory = FilePath(adapter)
        let configuration = shape.adapterConfiguration(rank: rank)
        try write(
            shape.adapterTensors(rank: rank), to: directory,
            sideFile: SideFile(name: "adapter_config.json", content: .bytes(Array(configuration.utf8)))
        ) { $0.name.contains("lora_A") ? 0.03 : 0.002 }
        try rename(directory.appending("model.safetensors"), to: directory.appending("adapter_model.safetensors"))
        print("\(adapter): rank \(rank)")
    }

    /// - Parameter sigma: The standard deviation of a tensor's values; `nil` for a norm, which is all ones.
    private func write(
        _ tensors: [LogicalTensor], to path: FilePath, sideFile: SideFile, sigma: (LogicalTensor) -> Float?
    ) throws {
        let writer = try SafetensorsCheckpointWriter(
            destination: path, tensors: tensors, sideFiles: [sideFile], force: true)
        let values = Buffer<Float>(chunkElements)
        let encoded = Buffer<Float>(chunkElements)
        for (index, tensor) in tensors.enumerated() {
            guard let dtype = tensor.encoding.denseDType else { continue }
            var random = HeavyTailedRandom(seed: UInt64(index) << 40)
            let bytes = dtype.bits / 8
            for start in stride(from: 0, to: tensor.elementCount, by: chunkElements) {
                let count = min(chunkElements, tensor.elementCount - start)
                if let sigma = sigma(tensor) {
                    for i in 0..<count { values.pointer[i] = random.next() * sigma }
                } else {
                    values.pointer.update(repeating: 1, count: count)
                }
                FloatConversion.encode(values.pointer, count: count, as: dtype, into: encoded.pointer)
                try writer.write(
                    UnsafeRawBufferPointer(start: encoded.pointer, count: count * bytes), part: .values,
                    ofTensor: index,
                    at: start * bytes)
            }
        }
        try writer.commit()
    }
}
