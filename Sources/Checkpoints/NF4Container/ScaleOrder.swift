/// The order of blocks by their scales.
///
/// Blocks whose largest value stands far out have most of their codes in the middle, others are spread evenly: blocks
/// with similar scales share a better code than neighbours do. The scales are stored anyway, so the order costs nothing.
package enum ScaleOrder {
    /// Block indices in ascending order of the scales as unsigned little-endian numbers of `width` bytes; equal ones in
    /// the order of the tensor.
    package static func order(_ scales: UnsafeRawBufferPointer, width: Int) -> [UInt32] {
        let count = scales.count / width
        var order = (0..<UInt32(count)).map { $0 }
        // Radix sort, least significant byte first; each pass keeps the order of equal bytes.
        for byte in 0..<width {
            var starts = [Int](repeating: 0, count: 257)
            for block in 0..<count { starts[Int(scales[block * width + byte]) + 1] += 1 }
            if starts.contains(count) { continue }  // all the same
            for value in 1...256 { starts[value] += starts[value - 1] }
            order = [UInt32](unsafeUninitializedCapacity: count) { sorted, initialized in
                for block in order {
                    let value = Int(scales[Int(block) * width + byte])
                    sorted[starts[value]] = block
                    starts[value] += 1
                }
                initialized = count
            }
        }
        return order
    }
}
