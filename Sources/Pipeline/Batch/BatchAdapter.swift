import SystemPackage

/// One adapter of a batch, and the fields that it fills in.
public struct BatchAdapter: Hashable, Sendable {
    /// Its path, relative to the spec or absolute: what the spec that it fills in says, and what it is called.
    public let path: String
    /// Its number in the batch, from 1 on.
    public let index: Int

    /// The last name of its path.
    public var name: String { FilePath(path).lastComponent?.string ?? path }
    /// The name before that; empty when the path has only one.
    public var parent: String { FilePath(path).removingLastComponent().lastComponent?.string ?? "" }
}
