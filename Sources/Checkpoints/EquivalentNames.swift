/// Two names that differ only in how a character is written, such as é in one code point or in two.
///
/// Unicode holds such names for one (canonical equivalence), and so do Swift's strings, which all our tables of tensors go by:
/// no model may have both.
public struct EquivalentNames: Hashable, Sendable, CustomStringConvertible {
    public let first: String
    public let second: String

    /// - Returns: `nil` when the names are not equivalent, or are the same byte for byte.
    public init?(_ first: String, _ second: String) {
        guard first == second, !first.utf8.elementsEqual(second.utf8) else { return nil }
        self.first = first
        self.second = second
    }

    /// The first two of these names that are equivalent.
    ///
    /// - Returns: `nil` when no two are.
    init?(among names: some Sequence<String>) {
        var seen: Set<String> = []
        for name in names {
            let (inserted, other) = seen.insert(name)
            guard inserted || name.utf8.elementsEqual(other.utf8) else {
                first = other
                second = name
                return
            }
        }
        return nil
    }

    static let wayOut = "rename one of them"

    public var description: String { "\(problem); \(EquivalentNames.wayOut)" }

    var problem: String {
        """
        \(EquivalentNames.spelled(first)) and \(EquivalentNames.spelled(second)) differ only in how a character is written, \
        which makes no difference in Unicode
        """
    }

    /// A name with its code points, which look the same otherwise.
    private static func spelled(_ name: String) -> String {
        let characters = name.unicodeScalars.map { scalar in
            scalar.isASCII ? String(scalar) : "\\u{\(String(scalar.value, radix: 16))}"
        }
        return "\"\(characters.joined())\""
    }
}
