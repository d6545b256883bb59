import Checkpoints
import SystemPackage
import Tensors

/// Writes every part of every tensor of a reader, in small pieces and any order.
func copy(_ reader: any CheckpointReader, to writer: any CheckpointWriter, order: [Int]? = nil, step: Int = 1000) throws
{
    for (output, input) in (order ?? Array(reader.tensors.indices)).enumerated() {
        for (part, byteCount) in reader.tensors[input].parts {
            for start in stride(from: 0, to: byteCount, by: step).reversed() {
                var buffer = [UInt8](repeating: 0, count: min(step, byteCount - start))
                try buffer.withUnsafeMutableBytes { try reader.read(part, ofTensor: input, at: start, into: $0) }
                try buffer.withUnsafeBytes { try writer.write($0, part: part, ofTensor: output, at: start) }
            }
        }
    }
}

/// All bytes of a part.
func bytes(_ part: TensorPart, ofTensor tensor: Int, _ reader: any CheckpointReader) throws -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: reader.tensors[tensor].byteCount(of: part))
    try buffer.withUnsafeMutableBytes { try reader.read(part, ofTensor: tensor, at: 0, into: $0) }
    return buffer
}
