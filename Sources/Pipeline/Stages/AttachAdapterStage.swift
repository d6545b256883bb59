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
            "vocab_size", .integer,
            "The number of tokens that the adapter was trained with, if it is not the model's: embeddings and output heads that the adapter does not bring as a whole are cut, or get rows that are the mean of the others, as resize_token_embeddings does. Default: what the adapter's tensors say."
        ),
    ]

    let path: FilePath
    let pathInSpec: String
    let weight: Double
    let vocabularySize: Int?

    init(_ arguments: SpecObject, directory: FilePath) throws(SpecError) {
        pathInSpec = try arguments.requiredString("path")
        path = directory.pushing(FilePath(pathInSpec))
        weight = arguments.double("weight") ?? 1
        vocabularySize = arguments.int("vocab_size")
        if let vocabularySize, vocabularySize < 1 {
            throw SpecError(
                place: arguments.place, problem: "\"vocab_size\" is \(vocabularySize)", remedy: "give at least 1")
        }
    }

    func plan(_ model: inout PlannedModel, place: String) throws {
        try model.attach(
            LoRAAdapter(directory: path), weight: weight, path: pathInSpec, vocabularySize: vocabularySize, place: place
        )
    }
}
