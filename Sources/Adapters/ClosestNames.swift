/// Finds the names that end most like another, so that a missing or an added prefix shows.
struct ClosestNames {
    private static let shown = 3

    /// The first names of all.
    private let first: [String]
    /// The first names that end in a suffix of two components or more.
    private let bySuffix: [Substring: [String]]

    init(among names: [String]) {
        first = Array(names.prefix(ClosestNames.shown))
        var bySuffix: [Substring: [String]] = [:]
        for name in names {
            for suffix in ClosestNames.suffixes(of: name) where bySuffix[suffix, default: []].count < ClosestNames.shown
            {
                bySuffix[suffix, default: []].append(name)
            }
        }
        self.bySuffix = bySuffix
    }

    /// Up to three names that share the most components at the end (more than the last alone), else the first of all.
    func closest(to name: String) -> [String] {
        ClosestNames.suffixes(of: name).lazy.compactMap { bySuffix[$0] }.first ?? first
    }

    /// The name and its ends from a component's start down to two components, longest first.
    private static func suffixes(of name: String) -> [Substring] {
        let starts = [name.startIndex] + name.indices.filter { name[$0] == "." }.map { name.index(after: $0) }
        return starts.dropLast().map { name[$0...] }
    }
}
