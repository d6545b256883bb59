import Checkpoints
import Crypto
import Reports
import SystemPackage
import Tensors

/// What identifies an input file cheaply: its size, and the SHA-256 of its header.
package enum Fingerprint {
    /// The fingerprint of a file. A safetensors file's header is its length field and its JSON; a container's is its first
    /// 64 bytes.
    package static func make(_ path: FilePath, wholeFile: Bool) throws -> InputFingerprint {
        let file = try InputFile(path: path)
        let lengthBytes = try file.bytes(0..<min(8, file.size))
        let length = lengthBytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
        // A container's header holds the checksum of its index.
        let headerEnd =
            NF4ContainerReader.recognizes(lengthBytes)
            ? min(file.size, containerHeaderBytes)
            : Int(clamping: min(UInt64(file.size), length.addingReportingOverflow(8).partialValue))
        return InputFingerprint(
            path: path.string, size: file.size, headerSHA256: try sha256(file, bytes: headerEnd),
            sha256: wholeFile ? try sha256(file, bytes: file.size) : nil)
    }

    private static let containerHeaderBytes = 64

    /// The size of a small file and the SHA-256 of all its bytes.
    static func whole(_ path: FilePath) throws -> (size: Int, sha256: String) {
        let file = try InputFile(path: path)
        return (file.size, try sha256(file, bytes: file.size))
    }

    /// The SHA-256 of a file's first bytes, in hexadecimal.
    private static func sha256(_ file: InputFile, bytes: Int) throws -> String {
        var hash = SHA256()
        // Small enough to stay in a core's cache, and used again and again.
        let step = 1 << 17
        try withUnsafeTemporaryAllocation(byteCount: min(step, bytes), alignment: InputFile.bufferAlignment) { buffer in
            for start in stride(from: 0, to: bytes, by: step) {
                let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(step, bytes - start)])
                try file.read(into: piece, at: start)
                hash.update(bufferPointer: UnsafeRawBufferPointer(piece))
            }
        }
        return hash.finalize().map { byte in
            let digits = String(byte, radix: 16)
            return digits.count < 2 ? "0" + digits : digits
        }.joined()
    }
}
