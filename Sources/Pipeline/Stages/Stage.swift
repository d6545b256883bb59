import LosslessJSON
import OrderedCollections
import SystemPackage

/// A step of a pipeline: `quantize`, `attach-adapter`, `merge-in-4bit`, …
///
/// A stage is a value with one job: it is made from the keys of a step, and it changes the planned model. What happens to
/// the data is left to the ``TensorOperation``s that it adds to tensors.
public protocol Stage: Sendable {
    /// The value of `op` in a spec.
    static var op: String { get }
    /// One sentence for the schema.
    static var summary: String { get }
    /// The keys of the step beside `op`.
    static var keys: [SpecKey] { get }

    /// Keys of which a step has exactly one; empty for most.
    static var alternativeKeys: [String] { get }

    /// Whether the step works on the numbers of linear weights, which a model that another tool has quantized (GPTQ, AWQ, …)
    /// does not show.
    static var needsWeights: Bool { get }

    /// Makes the stage from checked keys.
    ///
    /// - Parameter directory: What relative paths are relative to.
    init(_ arguments: SpecObject, directory: FilePath) throws(SpecError)

    /// Starts what the step needs for planning and can be done while the model is opened. Need not be called.
    func begin()

    /// Changes the model's description as the step will change its data.
    ///
    /// - Throws: ``PlanError`` when the step cannot work on this model.
    func plan(_ model: inout PlannedModel, place: String) throws
}

extension Stage {
    static var alternativeKeys: [String] { [] }
    static var needsWeights: Bool { true }
    func begin() {}
}

/// All stages. Adding one means one new file and one line here.
public enum StageRegistry {
    static let stages: [any Stage.Type] = [
        QuantizeStage.self,
        AttachAdapterStage.self,
        MergeIn4BitStage.self,
        DequantizeMergeStage.self,
        RequantizeStage.self,
        DequantizeStage.self,
        CastStage.self,
        SaveStage.self,
    ]

    /// The stage that a step describes, and the step with every default filled in.
    static func stage(
        from step: JSONValue, number: Int, directory: FilePath
    ) throws(SpecError) -> (any Stage, normalized: JSONValue) {
        let ops = stages.map { $0.op }
        guard let op = step["op"]?.string else {
            throw SpecError(
                place: "step \(number)",
                problem: step.object == nil ? "must be an object, not \(step.kind)" : "the key \"op\" is missing",
                remedy: "it must be \(wordList(ops.map { "\"\($0)\"" }))")
        }
        guard let type = stages.first(where: { $0.op == op }) else {
            let hint = closestMatch(to: op, among: ops).map { "did you mean \"\($0)\"? " } ?? ""
            throw SpecError(
                place: "step \(number)", problem: "unknown op \"\(op)\"",
                remedy: hint + "ops: \(wordList(ops, "and"))")
        }
        let arguments = try SpecObject(step, keys: type.keys, place: place(number, op), extraKeys: ["op"])
        var normalized: OrderedDictionary<String, JSONValue> = ["op": .string(op)]
        normalized.merge(arguments.values.elements.lazy.map { ($0.key, $0.value) }) { $1 }
        return (try type.init(arguments, directory: directory), .object(normalized))
    }

    /// How messages name a step.
    static func place(_ number: Int, _ op: String) -> String { "step \(number) (\(op))" }
}
