/// A Python regular expression from an adapter's configuration, matched against module paths
/// (`model.layers.0.self_attn.q_proj`) as PEFT matches it.
///
/// Matching is by Unicode scalars, as in Python, not by grapheme clusters. Making one throws for what is no regular expression
/// to Swift, and for groups that are repeated and repeat something themselves: these could be matched for ever.
package struct ModulePattern {
    private let regex: Regex<AnyRegexOutput>

    /// A key of `rank_pattern` or `alpha_pattern`: the end of a module path, from a component's start.
    ///
    /// The expression of PEFT's `get_pattern_key`: `re.match(rf"(.*\.)?({key})$", module)`.
    package init(endOfPath key: String) throws {
        try self.init(expression: "(.*\\.)?(\(key))$")
    }

    /// `target_modules` or `exclude_modules` given as one string: PEFT's `re.fullmatch(pattern, module)`.
    package init(wholePath pattern: String) throws {
        // The group keeps an alternation together.
        try self.init(expression: "(?:\(pattern))$")
    }

    /// The layer index behind the first component that `pattern` names; `nil` stands for any component but the first.
    ///
    /// The two expressions of PEFT's `check_target_module_exists`.
    package init(layerIndexAfter pattern: String?) throws {
        guard let pattern else {
            try self.init(expression: #".*?\.[^.]*\.(?<idx>\d+)\."#)
            return
        }
        try self.init(expression: #"(?:^|.*?\.)"# + pattern + #"\.(?<idx>\d+)\."#)
    }

    private init(expression: String) throws {
        guard !RepetitionScanner.findsNesting(in: expression) else { throw NestedRepetition() }
        // Simple word boundaries: by default Swift sees one word in `attn.qkv`, where Python sees two.
        regex = try Regex(expression).matchingSemantics(.unicodeScalar).wordBoundaryKind(.simple)
    }

    /// Whether the expression matches from the path's first character on.
    package func matches(_ module: String) -> Bool {
        match(module) != nil
    }

    /// What the group `idx` of an expression made by ``init(layerIndexAfter:)`` matches.
    package func layerIndex(in module: String) -> Int? {
        match(module)?["idx"]?.substring.flatMap { Int($0) }
    }

    private func match(_ module: String) -> Regex<AnyRegexOutput>.Match? {
        // Matching throws only for custom transformations, which an expression from a string has none of.
        (try? regex.prefixMatch(in: module)) ?? nil
    }
}

/// A pattern that could take for ever to match.
private struct NestedRepetition: Error {}
