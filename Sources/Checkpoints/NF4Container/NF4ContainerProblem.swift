import Tensors

/// What is wrong with an NF4 container.
public enum NF4ContainerProblem: Error, Hashable, Sendable {
    /// The header or the index.
    case file(SealedFileProblem)
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
        let which =
            kind == .provenance ? kind.rawValue : "\(kind.rawValue)\(names.count > 1 ? "s" : "") \(nameList(names))"
        let place = part == .values ? "piece \(piece)" : "\(part.rawValue), piece \(piece)"
        return "\(which): \(place): \(reason.rawValue)"
    }
}

extension NF4ContainerProblem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .file(let problem): problem.description(of: NF4ContainerFormat.sealed)
        case .damagedData(let damage): damage.description
        }
    }
}
