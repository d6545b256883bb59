/// What is wrong with a patch.
public enum PatchProblem: Error, Hashable, Sendable {
    /// The header or the index.
    case file(SealedFileProblem)
    /// A stream of differences has a wrong checksum or does not decode; the tensors are those that it is about.
    case damagedData(tensors: [String])
    /// Differences decode, but not to the bytes that they were made from.
    case wrongResult(tensors: [String])
}

extension PatchProblem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .file(let problem): problem.description(of: PatchFormat.sealed)
        case .damagedData(let tensors): "the differences of \(nameList(tensors)) are damaged; copy or download it again"
        case .wrongResult(let tensors): "the differences of \(nameList(tensors)) lead to other bytes than they should"
        }
    }
}
