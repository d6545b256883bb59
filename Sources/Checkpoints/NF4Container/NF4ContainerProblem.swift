import Tensors

/// What is wrong with an NF4 container.
public enum NF4ContainerProblem: Error, Hashable, Sendable {
    case notAContainer
    /// The first bytes are a container's after a transfer as text.
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
    case damagedData(NF4ContainerDamage)
}

/// A run of bytes in a container that does not hold what it should.
public struct NF4ContainerDamage: Error, Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable {
        case tensor
        case adapterTensor = "adapter tensor"
        case sideFile = "file"
        case provenance
    }

    public enum Reason: String, Hashable, Sendable {
        case checksum = "the checksum is wrong"
        case contents = "the data does not decompress to its size"
    }

    public let kind: Kind
    /// What it is about: one tensor, or the small ones that share a stream.
    public let names: [String]
    public let part: TensorPart
    /// Of a tensor that is stored in several pieces, which one, from 0.
    public let piece: Int
    public let reason: Reason
}

extension NF4ContainerDamage: CustomStringConvertible {
    public var description: String {
        let shown = names.prefix(3).map { "\"\($0)\"" }.joined(separator: ", ")
        let more = names.count > 3 ? " and \(names.count - 3) more" : ""
        let which =
            kind == .provenance ? kind.rawValue : "\(kind.rawValue)\(names.count > 1 ? "s" : "") \(shown)\(more)"
        let place = part == .values ? "piece \(piece)" : "\(part.rawValue), piece \(piece)"
        return "\(which): \(place): \(reason.rawValue)"
    }
}

extension NF4ContainerProblem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notAContainer: "is no NF4 container"
        case .transferredAsText:
            "is an NF4 container whose line ends were changed; transfer it again as a binary file"
        case .damagedHeader: "the header is damaged (its checksum is wrong)"
        case .unsupportedVersion(let version):
            "is an NF4 container of format version \(version), and this program reads version \(NF4ContainerFormat.version); use a newer one"
        case .unsupportedFeatures(let bits):
            FileProblemText.unknownFeatures(bits)
        case .wrongLength(let expected, let found): FileProblemText.wrongLength(expected: expected, found: found)
        case .impossibleIndex(let reason): "the header is wrong about the index: \(reason)"
        case .damagedIndex: "the index is damaged (its checksum is wrong, or it does not decompress)"
        case .invalidIndex(let reason): "the index is invalid: \(reason)"
        case .damagedData(let damage): damage.description
        }
    }
}

/// What formats of our own say of their files alike.
enum FileProblemText {
    static func unknownFeatures(_ bits: [Int]) -> String {
        "needs features that this program does not know (numbers \(bits.map(String.init).joined(separator: ", "))); use a newer one"
    }

    static func wrongLength(expected: UInt64, found: Int) -> String {
        UInt64(found) < expected
            ? "is cut off: \(found) of \(expected) bytes are there; copy or download it again"
            : "has \(found) bytes and should have \(expected); copy or download it again"
    }
}
