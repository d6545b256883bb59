import SystemPackage

/// Paths that somebody has claimed, to find others that are in their way: the same path, one inside of it, or one that contains
/// it, whatever links lead there.
///
/// Looking one up takes as long for thousands of claims as for one.
public struct ClaimedPaths<Owner> {
    /// A claim, and how the path that was looked up relates to it.
    public struct Conflict {
        public let relation: DestinationRelation
        public let path: FilePath
        public let owner: Owner
    }

    private typealias Claim = (path: FilePath, owner: Owner)

    /// By the path without symbolic links.
    private var claims: [FilePath: Claim] = [:]
    /// For each directory above a claimed path the first claim below.
    private var claimsBelow: [FilePath: Claim] = [:]

    public init() {}

    /// Claims a path. Of two claims to one path the first counts.
    public mutating func claim(_ path: FilePath, by owner: Owner) {
        let resolved = FileSystem.resolvedParents(path)
        if claims[resolved] == nil { claims[resolved] = (path, owner) }
        for directory in resolved.ancestors where claimsBelow[directory] == nil {
            claimsBelow[directory] = (path, owner)
        }
    }

    /// The claim that a path is in the way of; `nil` when there is none, or when the path is that of a device or a pipe, where
    /// nothing is lost.
    public func conflict(with path: FilePath) -> Conflict? {
        guard !OutputDestination(path).isStream else { return nil }
        let resolved = FileSystem.resolvedParents(path)
        func conflict(_ relation: DestinationRelation, _ claim: Claim?) -> Conflict? {
            claim.map { Conflict(relation: relation, path: $0.path, owner: $0.owner) }
        }
        return conflict(.same, claims[resolved])
            ?? conflict(.inside, resolved.ancestors.lazy.compactMap { claims[$0] }.first)
            ?? conflict(.contains, claimsBelow[resolved])
    }
}

extension FilePath {
    /// The directories above, innermost first.
    var ancestors: [FilePath] {
        var ancestors: [FilePath] = []
        var current = self
        while current.removeLastComponent() { ancestors.append(current) }
        return ancestors
    }
}
