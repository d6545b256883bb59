import Tensors

/// Where an adapter's tensors come from.
package protocol AdapterTensorSource: Sendable {
    /// What the file holds, in its order.
    var entries: [AdapterTensorEntry] { get }

    /// The bytes of one tensor, row-major, little-endian.
    func bytes(ofEntry index: Int) throws -> [UInt8]
}

/// One tensor of an adapter's file.
package struct AdapterTensorEntry: Hashable, Sendable {
    package let name: String
    package let dtype: DType
    package let shape: [Int]

    package init(name: String, dtype: DType, shape: [Int]) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
    }
}
