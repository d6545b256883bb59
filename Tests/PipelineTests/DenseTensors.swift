import Checkpoints
import SystemPackage
import Tensors

/// Writes a safetensors file of float32 tensors.
func writeDense(_ tensors: [(name: String, shape: [Int], values: [Float])], to path: FilePath) throws {
    let writer = try SafetensorsCheckpointWriter(
        destination: path,
        tensors: tensors.map { LogicalTensor(name: $0.name, shape: $0.shape, encoding: .dense(.f32)) })
    for (index, tensor) in tensors.enumerated() {
        try tensor.values.withUnsafeBytes { try writer.write($0, part: .values, ofTensor: index, at: 0) }
    }
    try writer.commit()
}
