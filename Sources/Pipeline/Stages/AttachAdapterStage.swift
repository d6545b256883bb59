import Adapters
import SystemPackage
import Tensors

/// `attach-adapter`: puts an adapter's updates beside the weights they belong to; the factors stay exact.
struct AttachAdapterStage: Stage {
    static let op = "attach-adapter"
    static let summary =
        "Puts the updates of a PEFT LoRA adapter beside the weights, for a later step to merge. May stand several times: all updates are summed before anything is rounded."
    static let keys =
        [
            SpecKey("path", .string, "The adapter's directory. Relative to the spec."),
            SpecKey("weight", .number, default: 1.0, "What the adapter's updates are multiplied with."),
            SpecKey(
                "rename", .string,
                "A rule s/PATTERN/REPLACEMENT/ that makes of the adapter's names of weights (model.layers.0.self_attn.q_proj.weight) those of the model. Default: the names as they are, or the only known rule that makes all of them match."
            ),
            SpecKey(
                "vocab_size", .integer,
                "The number of tokens that the adapter was trained with, if it is not the model's: embeddings and output heads that the adapter does not bring as a whole are cut, or get rows that are the mean of the others, as resize_token_embeddings does. Default: what the adapter's tensors say."
            ),
        ] + CombinedAdapterSource.keys

    static let alternativeKeys = ["path", "adapters"]

    private let source: AdapterSource
    let weight: Double
    let vocabularySize: Int?
    let rename: RenameRule?

    /// Where the adapter comes from.
    private enum AdapterSource {
        case directory(AdapterOpening, inSpec: String)
        case combination(CombinedAdapterSource)
    }

    init(_ arguments: SpecObject, directory: FilePath) throws(SpecError) {
        if let combined = try CombinedAdapterSource(arguments, directory: directory) {
            guard arguments.string("path") == nil else {
                throw SpecError(
                    place: arguments.place, problem: "\"path\" and \"adapters\" are both given",
                    remedy: "give one of them; several steps add adapters up without combining them")
            }
            source = .combination(combined)
        } else {
            let path = try arguments.requiredString("path")
            source = .directory(AdapterOpening(path: directory.pushing(FilePath(path))), inSpec: path)
        }
        weight = try arguments.weight("weight") ?? 1
        vocabularySize = arguments.int("vocab_size")
        if let vocabularySize, vocabularySize < 1 {
            throw SpecError(
                place: arguments.place, problem: "\"vocab_size\" is \(vocabularySize)", remedy: "give at least 1")
        }
        do {
            rename = try arguments.string("rename").map { try RenameRule(parsing: $0) }
        } catch {
            throw SpecError(place: arguments.place, problem: "\"rename\": \(error)")
        }
    }

    /// The directories of the adapters that are attached.
    var adapterPaths: [FilePath] {
        switch source {
        case .directory(let opening, _): [opening.path]
        case .combination(let source): source.paths
        }
    }

    func begin() {
        if case .directory(let opening, _) = source { opening.begin() }
    }

    func plan(_ model: inout PlannedModel, place: String) throws {
        let (adapter, path) =
            switch source {
            case .directory(let opening, let inSpec): (try opening.adapter(), inSpec)
            case .combination(let source): (try source.adapter(), source.description)
            }
        try model.attach(
            adapter, weight: weight, path: path, rename: rename, vocabularySize: vocabularySize, place: place)
    }
}
