/// What is wrong with the header or the index of a file of our own formats, an NF4 container or a patch.
public enum SealedFileProblem: Error, Hashable, Sendable {
    /// The file does not start as those of the format do.
    case otherFormat
    /// The first bytes are the format's after a transfer as text.
    case transferredAsText
    case damagedHeader
    case unsupportedVersion(UInt32)
    /// Bits of the required features that this version does not know.
    case unsupportedFeatures([Int])
    case wrongLength(expected: UInt64, found: Int)
    /// The header's description of the index cannot be true.
    case impossibleIndex(reason: String)
    case damagedIndex
    /// The index is intact but says something that cannot be.
    case invalidIndex(reason: String)
}

extension SealedFileProblem {
    /// The problem in words that follow the name of a file.
    func description(of format: SealedFormat) -> String {
        switch self {
        case .otherFormat: "is no \(format.name)" + (format.wayOut.map { "; \($0)" } ?? "")
        case .transferredAsText:
            "is \(format.article) \(format.name) whose line ends were changed; transfer it again as a binary file"
        case .damagedHeader: "the header is damaged (its checksum is wrong)"
        case .unsupportedVersion(let version):
            "is \(format.article) \(format.name) of format version \(version), and this program reads version \(format.version); use a newer one"
        case .unsupportedFeatures(let bits):
            "needs features that this program does not know (numbers \(bits.map(String.init).joined(separator: ", "))); use a newer one"
        case .wrongLength(let expected, let found):
            UInt64(found) < expected
                ? "is cut off: \(found) of \(expected) bytes are there; copy or download it again"
                : "has \(found) bytes and should have \(expected); copy or download it again"
        case .impossibleIndex(let reason): "the header is wrong about the index: \(reason)"
        case .damagedIndex: "the index is damaged (its checksum is wrong, or it does not decompress)"
        case .invalidIndex(let reason): "the index is invalid: \(reason)"
        }
    }
}
