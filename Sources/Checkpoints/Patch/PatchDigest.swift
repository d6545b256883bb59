import Crypto
import Tensors

/// What identifies the tensors of a checkpoint: a SHA-256 over names, dtypes, shapes and bytes, in the order of the names.
/// Which files hold them, and in which order, does not matter.
package enum PatchDigest {
    package static let byteCount = 32

    package static func of(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var hash = SHA256()
        hash.update(bufferPointer: bytes)
        return Array(hash.finalize())
    }

    package static func of(_ bytes: [UInt8]) -> [UInt8] { bytes.withUnsafeBytes { of($0) } }

    /// The digest of a tree.
    ///
    /// - Parameter pieces: For each tensor by name the digests of its pieces, in order; none for one without bytes.
    static func of(_ tree: PatchTree, pieces: [String: [[UInt8]]]) -> [UInt8] {
        var hash = SHA256()
        for entry in tree.entries.sorted(by: { $0.name.precedesByBytes($1.name) }) {
            var head: [UInt8] = []
            head.appendString(entry.name)
            head.appendString(entry.dtype.rawValue)
            head.appendNumber(entry.shape.count)
            for dimension in entry.shape { head.appendNumber(dimension) }
            hash.update(data: head)
            for digest in pieces[entry.name] ?? [] { hash.update(data: digest) }
        }
        return Array(hash.finalize())
    }

    /// In hexadecimal.
    package static func text(_ digest: [UInt8]) -> String {
        digest.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count < 2 ? "0" + digits : digits
        }.joined()
    }
}
