import SystemPackage
import Tensors

/// A path that an output is to have, and whether it may.
public struct OutputDestination: Hashable, Sendable {
    public let path: FilePath

    public init(_ path: FilePath) {
        self.path = path
    }

    /// Refuses a destination that would destroy something.
    ///
    /// - Parameters:
    ///   - force: Whether what stands there may be replaced, if it is a file, or a directory that holds a model.
    ///   - inputs: Paths that are read: the destination must neither be one, nor lie inside one, nor contain one,
    ///     whatever links lead there.
    ///   - mayBeStream: Whether a device or a pipe may stand there, which is then written to: see ``StagedFile``.
    /// - Throws: ``CheckpointError``.
    public func check(
        force: Bool, inputs: [FilePath] = [], mayBeStream: Bool = false
    ) throws(CheckpointError) {
        guard let name = path.lexicallyNormalized().lastComponent, name.kind == .regular else {
            throw .unusableDestination(path: path, reason: "it names no new file or directory")
        }
        for input in inputs {
            if let relation = relation(to: input) {
                throw .destinationIsInput(path: path, input: input, relation: relation)
            }
        }
        guard let kind = FileSystem.kind(of: path, followingLinks: false) else { return }
        if isStream {
            guard !mayBeStream else { return }
            throw .destinationNotReplaceable(
                path: path, reason: "it is a device, a pipe or a socket; choose another path")
        }
        guard force else { throw .destinationExists(path) }
        if kind == .directory || FileSystem.kind(of: path) == .directory { try checkHoldsModel() }
    }

    /// Whether something stands there that is neither a file nor a directory: `/dev/null`, say.
    var isStream: Bool { FileSystem.kind(of: path) == .other }

    /// How this path relates to an input's. Files are compared by identity, so links and the case of names do not
    /// matter.
    func relation(to input: FilePath) -> DestinationRelation? {
        let resolvedPath = FileSystem.resolvedParents(path)
        let resolvedInput = FileSystem.resolvedParents(input)
        if resolvedPath == resolvedInput { return .same }
        let ownIdentity = FileSystem.identity(of: resolvedPath)
        let inputIdentity = FileSystem.identity(of: resolvedInput)
        if let inputIdentity {
            if ownIdentity == inputIdentity { return .same }
            if ancestors(of: resolvedPath).contains(where: { FileSystem.identity(of: $0) == inputIdentity }) {
                return .inside
            }
        }
        guard let ownIdentity else { return nil }
        return ancestors(of: resolvedInput).contains { FileSystem.identity(of: $0) == ownIdentity } ? .contains : nil
    }

    private func ancestors(of path: FilePath) -> [FilePath] {
        var ancestors: [FilePath] = []
        var current = path
        while current.removeLastComponent() { ancestors.append(current) }
        return ancestors
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
