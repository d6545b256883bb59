/// What is wrong with a patch.
public enum PatchProblem: Error, Hashable, Sendable {
    case notAPatch
    /// The first bytes are a patch's after a transfer as text.
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
    /// A stream of differences has a wrong checksum or does not decode; the tensors are those that it is about.
    case damagedData(tensors: [String])
    /// Differences decode, but not to the bytes that they were made from.
    case wrongResult(tensors: [String])
}

extension PatchProblem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notAPatch: "is no patch; qconv patch create makes one"
        case .transferredAsText: "is a patch whose line ends were changed; transfer it again as a binary file"
        case .damagedHeader: "the header is damaged (its checksum is wrong)"
        case .unsupportedVersion(let version):
            "is a patch of format version \(version), and this program reads version \(PatchFormat.version); use a newer one"
        case .unsupportedFeatures(let bits):
            FileProblemText.unknownFeatures(bits)
        case .wrongLength(let expected, let found): FileProblemText.wrongLength(expected: expected, found: found)
        case .impossibleIndex(let reason): "the header is wrong about the index: \(reason)"
        case .damagedIndex: "the index is damaged (its checksum is wrong, or it does not decompress)"
        case .invalidIndex(let reason): "the index is invalid: \(reason)"
        case .damagedData(let tensors): "the differences of \(nameList(tensors)) are damaged; copy or download it again"
        case .wrongResult(let tensors): "the differences of \(nameList(tensors)) lead to other bytes than they should"
        }
    }
}

/// `"a", "b", "c" and 4 more`.
func nameList(_ names: [String]) -> String {
    names.prefix(3).map { "\"\($0)\"" }.joined(separator: ", ")
        + (names.count > 3 ? " and \(names.count - 3) more" : "")
}
