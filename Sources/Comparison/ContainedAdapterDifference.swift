import Checkpoints
import Tensors

/// Whether an adapter that travels in a container, not merged into the weights beside it, is in both models.
public struct ContainedAdapterDifference: Hashable, Sendable {
    public enum Outcome: String, CaseIterable, Hashable, Sendable {
        /// The same factors byte for byte, with the same configuration and weight; the names do not matter.
        case identical
        /// Something else under the same name.
        case different
        case onlyInA = "only_in_a"
        case onlyInB = "only_in_b"
    }

    public let name: String
    public let outcome: Outcome

    /// The adapters of a in its order, then those that only b has.
    ///
    /// - Parameters:
    ///   - a: `nil` for a model that is no container, which holds no adapters.
    ///   - b: As a.
    /// - Throws: ``Checkpoints/CheckpointError`` when a container is damaged; ``Tensors/FileError``.
    static func list(_ a: NF4ContainerReader?, _ b: NF4ContainerReader?) throws -> [ContainedAdapterDifference] {
        var left = ContainedAdapter.all(in: b)
        var differences: [ContainedAdapterDifference] = []
        for adapter in ContainedAdapter.all(in: a) {
            let outcome: Outcome
            if let twin = try left.firstIndex(where: adapter.isSame) {
                left.remove(at: twin)
                outcome = .identical
            } else if let namesake = left.firstIndex(where: { $0.description.name == adapter.description.name }) {
                left.remove(at: namesake)
                outcome = .different
            } else {
                outcome = .onlyInA
            }
            differences.append(ContainedAdapterDifference(name: adapter.description.name, outcome: outcome))
        }
        return differences + left.map { ContainedAdapterDifference(name: $0.description.name, outcome: .onlyInB) }
    }
}

/// An adapter in a container, with its tensors.
private struct ContainedAdapter {
    let description: NF4ContainerAdapter
    let tensors: NF4ContainerAdapterReader

    static func all(in container: NF4ContainerReader?) -> [ContainedAdapter] {
        guard let container else { return [] }
        return container.adapters.indices.map {
            ContainedAdapter(description: container.adapters[$0], tensors: container.checkpoint(ofAdapter: $0))
        }
    }

    /// Whether two adapters do the same, whatever they are called: the path that one was attached by says nothing.
    func isSame(as other: ContainedAdapter) throws -> Bool {
        var renamed = other.description
        renamed.name = description.name
        guard description == renamed else { return false }
        for index in tensors.tensors.indices where try bytes(ofTensor: index) != other.bytes(ofTensor: index) {
            return false
        }
        return true
    }

    private func bytes(ofTensor index: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: tensors.tensors[index].byteCount(of: .values))
        try bytes.withUnsafeMutableBytes { try tensors.read(.values, ofTensor: index, at: 0, into: $0) }
        return bytes
    }
}
