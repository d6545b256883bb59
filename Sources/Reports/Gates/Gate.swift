/// A condition on the figures of a report that decides whether a result may be used: `relative_error > 0.05`.
///
/// The left side is a figure of every tensor (`update_kept`), of all together (`overall.update_kept`), or a count
/// (`missing`); the right side a number, or a percentage.
public struct Gate: Hashable, Sendable {
    /// What the condition means.
    public enum Sense: String, Hashable, Sendable {
        /// The gate fails where the condition holds.
        case failIf = "fail_if"
        /// The gate fails where the condition does not hold.
        case require
    }

    public enum Comparison: String, CaseIterable, Hashable, Sendable {
        // Longer ones first: the parser takes the first that fits.
        case lessOrEqual = "<="
        case greaterOrEqual = ">="
        case equal = "=="
        case notEqual = "!="
        case less = "<"
        case greater = ">"

        func holds(_ left: Double, _ right: Double) -> Bool {
            switch self {
            case .less: left < right
            case .lessOrEqual: left <= right
            case .greater: left > right
            case .greaterOrEqual: left >= right
            case .equal: left == right
            case .notEqual: left != right
            }
        }
    }

    /// Whose figure it is.
    public enum Scope: Hashable, Sendable {
        /// Of every tensor that has it.
        case tensor
        /// Of all tensors together.
        case overall
    }

    /// The condition as it was written.
    public let text: String
    public let sense: Sense
    public let scope: Scope
    /// The figure's key in the JSON report.
    public let figure: String
    public let comparison: Comparison
    public let limit: Double

    /// Whether a value makes the gate fail. A NaN does, whatever the condition.
    func fails(_ value: Double) -> Bool {
        if value.isNaN { return true }
        return comparison.holds(value, limit) == (sense == .failIf)
    }
}

/// Why a gate cannot be used.
public struct GateError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The gate as it was written.
    public let text: String
    public let problem: String

    public init(text: String, problem: String) {
        self.text = text
        self.problem = problem
    }

    public var description: String { "the gate \"\(text)\": \(problem)" }
}
