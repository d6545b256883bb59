import Tensors

/// Where a chunk keeps its elements in whatever encoding they have.
struct ChunkParts {
    /// Dense elements as they are stored.
    var dense: UnsafeMutableRawPointer
    /// Packed codes.
    var codes: UnsafeMutablePointer<UInt8>
    /// The scales of the codes, decoded to float32.
    var scales: UnsafeMutablePointer<Float>
    /// Double-quantized scales and their own scales, as stored.
    var scaleCodes: UnsafeMutablePointer<UInt8>
    var nestedScales: UnsafeMutablePointer<Float>

    /// Where a part of an encoding stands.
    func memory(of part: TensorPart, _ encoding: Encoding) -> UnsafeMutableRawPointer {
        switch part {
        case .values: dense
        case .codes: UnsafeMutableRawPointer(codes)
        case .absmax:
            encoding.blockQuantization?.doubleQuantization == nil
                ? UnsafeMutableRawPointer(scales) : UnsafeMutableRawPointer(scaleCodes)
        case .nestedAbsmax: UnsafeMutableRawPointer(nestedScales)
        }
    }
}
