import SystemPackage

/// Why a patch does not fit the checkpoint it is to be applied to (or taken off from), and what differs.
public struct PatchMismatch: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Difference: Hashable, Sendable {
        /// Tensors that are not there.
        case missing([String])
        /// Tensors that are there and should not.
        case extra([String])
        /// A tensor of another dtype or shape.
        case described(tensor: String, expected: String, found: String)
        /// Tensors with other values, and the number of all that were compared.
        case values([String], of: Int)
        /// Every tensor that differs is as the patch makes it, by its values or by its description.
        case alreadyDone
        /// A side file that is not there, or has other bytes.
        case sideFile(name: String, isMissing: Bool)
    }

    public let patch: FilePath
    /// The checkpoint that was given.
    public let source: FilePath
    /// What it should be: the base when the patch is applied, the target when it is taken off.
    public let side: PatchSide
    public let difference: Difference

    public var description: String {
        let role = side == .base ? "the base of \(patch)" : "what \(patch) makes"
        let text =
            switch difference {
            case .missing(let names): "it has no \(nameList(names))"
            case .extra(let names): "it has \(nameList(names)), which that has not"
            case .described(let tensor, let expected, let found):
                "\"\(tensor)\" is \(found) here and \(expected) there"
            case .values(let names, let count):
                "the values of \(nameList(names)) differ (\(names.count) of \(count) stored tensors)"
            case .alreadyDone:
                side == .base
                    ? "it seems to be what the patch makes already"
                    : "it seems to be the base, with nothing to take off"
            case .sideFile(let name, let isMissing):
                isMissing
                    ? "its \(name) is missing, and the patch takes it over unchanged"
                    : "its \(name) has other bytes, and the patch takes it over unchanged"
            }
        return "\(source): is not \(role): \(text); give the checkpoint that the patch was made with"
    }
}
