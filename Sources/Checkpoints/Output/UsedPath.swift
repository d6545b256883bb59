import SystemPackage

/// A path that a run reads or writes, and what for.
public struct UsedPath: Hashable, Sendable {
    public enum Role: String, Hashable, Sendable {
        case input
        case adapter
        case spec
        case output
        case report
    }

    public let path: FilePath
    public let role: Role

    public init(_ path: FilePath, as role: Role) {
        self.path = path
        self.role = role
    }

    /// The path as another one that is in its way calls it.
    func described(beside other: Role) -> String {
        role == other ? "another \(role.rawValue), \(path)" : "the \(role.rawValue) \(path)"
    }
}
