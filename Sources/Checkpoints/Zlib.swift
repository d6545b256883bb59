import CZlib

/// What containers and zip archives need of zlib: deflate with a search for repetitions, inflate, CRC-32.
package enum Zlib {
    /// Deflate makes nothing this many times smaller: what claims to inflate to more is not believed.
    package static let maximumRatio = 1032

    /// Deflates bytes without zlib's header and trailer.
    package static func deflate(_ bytes: UnsafeRawBufferPointer, level: Int32 = Z_BEST_COMPRESSION) -> [UInt8]? {
        var stream = z_stream()
        guard
            deflateInit2_(
                &stream, level, Z_DEFLATED, -MAX_WBITS, MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                Int32(MemoryLayout<z_stream>.size)) == Z_OK
        else { return nil }
        defer { deflateEnd(&stream) }
        guard let inputSize = UInt32(exactly: bytes.count) else { return nil }
        let bound = Int(deflateBound(&stream, UInt(bytes.count)))
        var status = Z_OK
        let output = [UInt8](unsafeUninitializedCapacity: bound) { out, written in
            stream.next_in = UnsafeMutablePointer(mutating: bytes.bytePointer)
            stream.avail_in = inputSize
            stream.next_out = out.baseAddress
            stream.avail_out = UInt32(clamping: out.count)
            status = CZlib.deflate(&stream, Z_FINISH)
            written = min(out.count, Int(stream.total_out))
        }
        return status == Z_STREAM_END ? output : nil
    }

    /// Inflates a raw deflate stream that must fill `output` exactly and use up all of `input`; never writes more.
    ///
    /// - Returns: Whether it does.
    package static func inflate(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Bool {
        var stream = z_stream()
        guard let inputSize = UInt32(exactly: input.count), let outputSize = UInt32(exactly: output.count),
            inflateInit2_(&stream, -MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
        else { return false }
        defer { inflateEnd(&stream) }
        stream.next_in = UnsafeMutablePointer(mutating: input.bytePointer)
        stream.avail_in = inputSize
        // zlib refuses to run without room, even for the end of an empty stream.
        var spare: UInt8 = 0
        return withUnsafeMutablePointer(to: &spare) { spare in
            stream.next_out = output.bindMemory(to: UInt8.self).baseAddress ?? spare
            stream.avail_out = outputSize
            return CZlib.inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_in == 0 && stream.avail_out == 0
        }
    }

    /// CRC-32 as in zlib, gzip and PNG.
    package static func crc32(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var crc: UInt = 0
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
            crc = CZlib.crc32(crc, piece.bytePointer, UInt32(piece.count))
            rest = rest.dropFirst(piece.count)
        }
        return UInt32(truncatingIfNeeded: crc)
    }

    package static func crc32(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { crc32($0) } }
}
