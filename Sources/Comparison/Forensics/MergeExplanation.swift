import Adapters
import Reports

/// What a merge by any tool did, tensor by tensor.
///
/// Everything but ``run`` is a function of the models, the adapter and the options.
public struct MergeExplanation: Sendable {
    public let base: ModelSide
    public let merged: ModelSide
    public let adapter: AdapterReport?
    public let options: ComparisonOptions
    /// The tensors of the base in its order, then those that only the merged model has.
    public let tensors: [TensorExplanation]
    /// Worker threads that ran.
    public let threads: Int
    /// The facts of the run that are not the explainer's to know.
    public var run: RunFacts?
    /// The version of the tool, and what identifies the files, where they have been looked at.
    public var toolVersion = ""
    public var inputs: [InputFingerprint] = []

    init(plan: ComparisonPlan, options: ComparisonOptions, tensors: [TensorExplanation], threads: Int) {
        base = ModelSide(plan.a)
        merged = ModelSide(plan.b)
        adapter = plan.adapter.map {
            AdapterReport(path: $0.directory.string, weight: 1, modulesMatched: $0.modules.count)
        }
        self.options = options
        self.tensors = tensors
        self.threads = threads
    }

    /// The tensors that the adapter has an update for.
    public var modules: [TensorExplanation] { tensors.filter { $0.module != nil } }

    /// What a right merge would not have.
    public var wrong: [TensorExplanation] { tensors.filter { !$0.outcome.isRight } }

    /// Whether every module holds its update as configured and nothing else changed.
    public var isRight: Bool { wrong.isEmpty }
}
