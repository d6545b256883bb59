import SystemPackage
import Tensors

/// A path that an output is to have, and whether it may.
public struct OutputDestination: Hashable, Sendable {
    public let path: FilePath
    /// What is to stand there: an output, or a report, which is a file and may go to a device.
    private let role: UsedPath.Role

    public init(_ path: FilePath, as role: UsedPath.Role = .output) {
        self.path = path
        self.role = role
    }

    /// Refuses a destination that would destroy something.
    ///
    /// - Parameters:
    ///   - force: Whether what stands there may be replaced, if it is a file, or a directory that holds a model.
    ///   - used: Paths that are used for something else: the destination must neither be one, nor lie inside one, nor contain
    ///     one, whatever links lead there.
    /// - Throws: ``CheckpointError``.
    public func check(force: Bool, besides used: [UsedPath] = []) throws(CheckpointError) {
        guard let name = path.lexicallyNormalized().lastComponent, name.kind == .regular else {
            throw .unusableDestination(path: path, reason: "it names no new file or directory")
        }
        if isStream {
            // It takes what is written to it (see ``StagedFile``), and nothing is lost.
            guard role != .report else { return }
            throw .destinationNotReplaceable(
                path: path, reason: "it is a device, a pipe or a socket; choose another path")
        }
        for other in used {
            if let relation = relation(to: other.path) { throw taken(by: other, relation) }
        }
        guard let kind = FileSystem.kind(of: path, followingLinks: false) else { return }
        if role == .report, FileSystem.kind(of: path) == .directory {
            throw .destinationNotReplaceable(path: path, reason: "it is a directory, and the report is a file")
        }
        guard force else { throw .destinationExists(path) }
        if kind == .directory || FileSystem.kind(of: path) == .directory { try checkHoldsModel() }
    }

    /// That the path is used for something else.
    public func taken(by other: UsedPath, _ relation: DestinationRelation) -> CheckpointError {
        .destinationTaken(UsedPath(path, as: role), relation: relation, by: other)
    }

    /// Whether something stands there that is neither a file nor a directory: `/dev/null`, say.
    var isStream: Bool { FileSystem.kind(of: path) == .other }

    /// How this path relates to another one, which need not exist yet either. Files that do are compared by identity, so links
    /// and the case of names do not matter.
    func relation(to other: FilePath) -> DestinationRelation? {
        let resolvedPath = FileSystem.resolvedParents(path)
        let resolvedOther = FileSystem.resolvedParents(other)
        if resolvedPath == resolvedOther { return .same }
        if resolvedPath.ancestors.contains(resolvedOther) { return .inside }
        if resolvedOther.ancestors.contains(resolvedPath) { return .contains }
        let ownIdentity = FileSystem.identity(of: resolvedPath)
        let otherIdentity = FileSystem.identity(of: resolvedOther)
        if let otherIdentity {
            if ownIdentity == otherIdentity { return .same }
            if resolvedPath.ancestors.contains(where: { FileSystem.identity(of: $0) == otherIdentity }) {
                return .inside
            }
        }
        guard let ownIdentity else { return nil }
        return resolvedOther.ancestors.contains { FileSystem.identity(of: $0) == ownIdentity } ? .contains : nil
    }

    /// `--force` on a mistyped path must not cost somebody a home directory.
    private func checkHoldsModel() throws(CheckpointError) {
        let names: [String]
        do throws(FileError) {
            names = try FileSystem.names(in: path)
        } catch {
            throw .destinationNotReplaceable(path: path, reason: error.description)
        }
        let holdsModel = names.contains { $0 == "config.json" || $0.hasSuffix(".safetensors") }
        guard names.isEmpty || holdsModel else {
            throw .destinationNotReplaceable(
                path: path,
                reason:
                    "it is a directory that holds no model (no config.json, no *.safetensors); remove it yourself, or choose another path"
            )
        }
    }
}
