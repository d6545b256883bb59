import Adapters
import SystemPackage
import Tensors

/// `attach-adapter`: puts an adapter's updates beside the weights they belong to; the factors stay exact.
struct AttachAdapterStage: Stage {
    static let op = "attach-adapter"
    static let summary =
        "Puts the updates of a PEFT LoRA adapter beside the weights, for a later step to merge. May stand several times: all updates are summed before anything is rounded."
    static let keys = [
        SpecKey("path", .string, required: true, "The adapter's directory. Relative to the spec."),
        SpecKey("weight", .number, default: 1.0, "What the adapter's updates are multiplied with."),
        SpecKey(
            "rename", .string,
            "A rule s/PATTERN/REPLACEMENT/ that makes of the adapter's names of weights (model.layers.0.self_attn.q_proj.weight) those of the model. Default: the names as they are, or the only known rule that makes all of them match."
        ),
    ]

    let path: FilePath
    let pathInSpec: String
    let weight: Double
    let rename: RenameRule?

    init(_ arguments: SpecObject, directory: FilePath) throws(SpecError) {
        pathInSpec = try arguments.requiredString("path")
        path = directory.pushing(FilePath(pathInSpec))
        weight = arguments.double("weight") ?? 1
        do {
            rename = try arguments.string("rename").map { try RenameRule(parsing: $0) }
        } catch {
            throw SpecError(place: arguments.place, problem: "\"rename\": \(error)")
        }
    }

    func plan(_ model: inout PlannedModel, place: String) throws {
        try model.attach(LoRAAdapter(directory: path), weight: weight, path: pathInSpec, rename: rename)
    }
}
