/// The user stopped what was going on.
public struct Interrupted: Error, Hashable, Sendable, CustomStringConvertible {
    public init() {}
    public var description: String { "interrupted; nothing was written" }
}
