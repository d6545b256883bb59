import Tensors

/// One tensor as a safetensors file stores it.
public struct SafetensorsEntry: Hashable, Sendable {
    public let name: String
    public let dtype: DType
    /// Outermost dimension first; empty for a scalar.
    public let shape: [Int]
    /// Where the data lies, in bytes from the start of the file.
    public let range: Range<Int>

    /// The size of the data in bytes.
    public var byteCount: Int { range.count }
}
