import SystemPackage
import Tensors

/// What is compared, and how.
public struct ComparisonOptions: Sendable {
    /// Renames that bring the two models' names together; applied to both, in this order.
    public var renames: [RenameRule] = []
    /// Compare only tensors that match one of these; all when empty. Patterns see names after the renames.
    public var include: [Glob] = []
    /// Do not compare tensors that match one of these.
    public var exclude: [Glob] = []
    /// The relative error up to which a tensor counts as equal.
    public var tolerance = 0.0
    /// The adapter whose update b should hold relative to a.
    public var adapter: FilePath?
    /// Worker threads; `nil`: one a core.
    public var threads: Int?
    /// The most memory for data in flight, in bytes.
    public var memory = 256 << 20

    public init() {}

    /// The rules of `--map`.
    ///
    /// - Throws: ``ComparisonError/invalidRule(_:)``.
    public static func renames(_ rules: [String]) throws(ComparisonError) -> [RenameRule] {
        do throws(RenameRuleError) {
            var renames: [RenameRule] = []
            for rule in rules { renames.append(try RenameRule(parsing: rule)) }
            return renames
        } catch {
            throw .invalidRule(error)
        }
    }
}
