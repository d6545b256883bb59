import DeflateKernels

/// Undoes ``StreamEncoder``. Every function answers whether the bytes were what they should be, fills its output
/// completely if so, and never writes past it.
package enum StreamDecoder {
    /// - Parameter planeWidth: As when the stream was encoded.
    package static func decode(
        _ stored: UnsafeRawBufferPointer, method: StreamMethod, planeWidth: Int,
        into output: UnsafeMutableRawBufferPointer
    ) -> Bool {
        switch method {
        case .stored:
            guard stored.count == output.count else { return false }
            output.copyMemory(from: stored)
            return true
        case .deflate: return Zlib.inflate(stored, into: output)
        case .planes: return mergePlanes(stored, width: planeWidth, into: output)
        case .deflateByScale: return false
        }
    }

    package static func decodeCodes(
        _ stored: UnsafeRawBufferPointer, offsets: [UInt32], order: [UInt32],
        into output: UnsafeMutableRawBufferPointer
    ) -> Bool {
        guard order.count == offsets.count - 1, offsets.last.map(Int.init) == output.count else { return false }
        return withUnsafeTemporaryAllocation(byteCount: output.count, alignment: 16) { sorted in
            guard Zlib.inflate(stored, into: sorted) else { return false }
            scatter_blocks(
                UnsafeRawBufferPointer(sorted).bytePointer, offsets, order, order.count,
                output.bindMemory(to: UInt8.self).baseAddress)
            return true
        }
    }

    private static func mergePlanes(
        _ stored: UnsafeRawBufferPointer, width: Int, into output: UnsafeMutableRawBufferPointer
    ) -> Bool {
        guard width > 1, output.count % width == 0 else { return false }
        let count = output.count / width
        return withUnsafeTemporaryAllocation(byteCount: count, alignment: 16) { values in
            var rest = stored[...]
            for plane in 0..<width {
                var cursor = IndexCursor(Array(rest.prefix(IndexCursor.longestNumber))[...])
                let before = cursor.remaining
                guard let field = try? cursor.number() else { return false }
                rest = rest.dropFirst(before - cursor.remaining)
                let size = field / 2
                guard size <= rest.count else { return false }
                let bytes = UnsafeRawBufferPointer(rebasing: rest.prefix(size))
                rest = rest.dropFirst(size)
                if field % 2 == 1 {
                    guard Zlib.inflate(bytes, into: values) else { return false }
                } else {
                    guard size == count else { return false }
                    values.copyMemory(from: bytes)
                }
                merge_plane(
                    UnsafeRawBufferPointer(values).bytePointer, count, width, plane,
                    output.bindMemory(to: UInt8.self).baseAddress)
            }
            return rest.isEmpty
        }
    }
}
