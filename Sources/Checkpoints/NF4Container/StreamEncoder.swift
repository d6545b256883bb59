import DeflateKernels

/// Chooses how to store a run of bytes, and does it. The same bytes always give the same stream.
package enum StreamEncoder {
    package struct Encoded: Sendable {
        package let method: StreamMethod
        package let bytes: [UInt8]
    }

    /// Whatever is smallest.
    ///
    /// - Parameter planeWidth: Bytes of a number when the stream holds numbers whose bytes differ in kind; else 1.
    package static func encode(_ bytes: UnsafeRawBufferPointer, planeWidth: Int) -> Encoded {
        var best = stored(bytes)
        if planeWidth == 1 || bytes.count <= smallStream, let whole = deflated(bytes) {
            best = Encoded(method: .deflate, bytes: whole)
        }
        if planeWidth > 1, bytes.count % planeWidth == 0 {
            let planes = splitIntoPlanes(bytes, width: planeWidth)
            if planes.count < best.bytes.count { best = Encoded(method: .planes, bytes: planes) }
        }
        return best
    }

    /// Files and other text, which are small: zlib at its best.
    package static func encodeText(_ bytes: UnsafeRawBufferPointer) -> Encoded {
        guard let deflated = Zlib.deflate(bytes), deflated.count < bytes.count else { return stored(bytes) }
        return Encoded(method: .deflate, bytes: deflated)
    }

    /// Codes, in the order of the blocks' scales where that pays.
    ///
    /// - Parameters:
    ///   - offsets: Where each block starts, and the end.
    ///   - order: The blocks by ascending scale.
    package static func encodeCodes(_ codes: UnsafeRawBufferPointer, offsets: [UInt32], order: [UInt32]) -> Encoded {
        let sorted = [UInt8](unsafeUninitializedCapacity: codes.count) { out, initialized in
            gather_blocks(codes.bytePointer, offsets, order, order.count, out.baseAddress)
            initialized = codes.count
        }
        return sorted.withUnsafeBytes { sorted in
            let plan = HuffmanDeflate(planning: sorted)
            // Codes that repeat themselves (of a tensor of zeros, say) are not what this is for.
            let other = repeatsItself(codes, huffmanSize: plan.byteCount) ? deflated(codes) : nil
            if let other, other.count < plan.byteCount { return Encoded(method: .deflate, bytes: other) }
            guard plan.byteCount < codes.count else { return stored(codes) }
            return Encoded(method: .deflateByScale, bytes: plan.encode(sorted))
        }
    }

    package static func stored(_ bytes: UnsafeRawBufferPointer) -> Encoded {
        Encoded(method: .stored, bytes: Array(bytes))
    }

    // MARK: - Deflate

    /// Streams up to this size are deflated both ways.
    private static let smallStream = 1 << 12
    private static let sampleSize = 1 << 14

    /// The smaller of Huffman coding alone and zlib, where zlib has a chance; `nil` when neither is smaller than the bytes.
    private static func deflated(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        let plan = HuffmanDeflate(planning: bytes)
        var best: [UInt8]?
        if bytes.count <= smallStream {
            best = Zlib.deflate(bytes)
        } else if repeatsItself(bytes, huffmanSize: plan.byteCount) {
            best = Zlib.deflate(bytes, level: 6)
        }
        if plan.byteCount < min(best?.count ?? .max, bytes.count) { best = plan.encode(bytes) }
        guard let best, best.count < bytes.count else { return nil }
        return best
    }

    /// Whether zlib makes a sample of the bytes notably smaller than Huffman coding does. Bytes of which most values are
    /// about as frequent, such as codes and mantissas, are not worth the sample.
    private static func repeatsItself(_ bytes: UnsafeRawBufferPointer, huffmanSize: Int) -> Bool {
        guard huffmanSize * 5 < bytes.count * 4 else { return false }
        let start = (bytes.count - min(bytes.count, sampleSize)) / 2
        let sample = UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + sampleSize)])
        guard !sample.isEmpty, let deflated = Zlib.deflate(sample, level: 1) else { return false }
        return deflated.count * 20 < HuffmanDeflate(planning: sample, cells: 1).byteCount * 19
    }

    // MARK: - Byte planes

    /// For each plane twice its stored size, plus one if it is deflated, and the plane.
    private static func splitIntoPlanes(_ bytes: UnsafeRawBufferPointer, width: Int) -> [UInt8] {
        var result: [UInt8] = []
        let count = bytes.count / width
        for plane in 0..<width {
            let values = [UInt8](unsafeUninitializedCapacity: count) { out, initialized in
                split_plane(bytes.bytePointer, count, width, plane, out.baseAddress)
                initialized = count
            }
            let deflated = values.withUnsafeBytes { StreamEncoder.deflated($0) }
            result.appendNumber(2 * (deflated ?? values).count + (deflated == nil ? 0 : 1))
            result += deflated ?? values
        }
        return result
    }
}
