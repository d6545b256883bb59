import Checkpoints
import Tensors

extension AdapterError: CustomStringConvertible {
    /// How many problems of one kind a message spells out.
    private static let listed = 8

    public var description: String {
        switch self {
        case .notADirectory(let path):
            "\(path): not a directory; give the directory that holds adapter_config.json and adapter_model.safetensors"
        case .noConfiguration(let directory, let nearby):
            AdapterError.describeMissingConfiguration(in: "\(directory)", nearby: nearby)
        case .noWeights(let directory):
            """
            \(directory): has \(AdapterFiles.configuration) but none of \(AdapterFiles.weightsNames.joined(separator: ", ")); \
            was the adapter saved completely?
            """
        case .malformedJSON(let file, let error):
            "\(file): \(error)"
        case .configurationTooLarge(let file, let bytes, let limit):
            "\(file): \(bytes) bytes are too many for an adapter's configuration (at most \(limit))"
        case .missingKey(let file, let key, let expected):
            "\(file): \(key) is missing; expected \(expected)"
        case .wrongValue(let file, let key, let expected, let found):
            "\(file): \(key.map { $0 + " should be" } ?? "expected") \(expected), found \(found)"
        case .invalidPattern(let file, let key, let pattern):
            "\(file): \(key): \"\(pattern)\" is no regular expression that can be read and matched in bounded time; write the modules' names instead"
        case .unsupportedMethod(let file, let peftType):
            "\(file): peft_type is \(peftType); \(PEFTMethod.wayOut(peftType))"
        case .unsupportedFields(let file, let fields):
            AdapterError.list(fields, "\(file): the adapter uses what cannot be merged here:") {
                "\($0.key) is \($0.found) (\($0.feature)): \($0.wayOut)"
            }
        case .unsupportedTensors(let file, let tensors):
            AdapterError.list(
                tensors, "\(file): holds more than LoRA factors, so \(FieldTreatment.mergeWithPEFT):"
            ) {
                "\($0.name): \($0.feature)"
            }
        case .inconsistentTensors(let file, let problems):
            AdapterError.list(problems, "\(file): the adapter's tensors are not right:") { "\($0)" }
        case .empty(let file):
            "\(file): holds no tensors; was the adapter saved completely?"
        case .ambiguousNames(let adapter, let example, let choices):
            """
            \(adapter): the model has no "\(example)", and its names match in several ways; choose one with "rename": \
            \(choices.map { "\"\($0)\"" }.joined(separator: " or "))
            """
        case .unusableRename(let adapter, let rule, let reason):
            "\(adapter): the rule \"\(rule)\" \(reason)"
        case .uncombinable(let adapters, let reason):
            "\(adapters.map(\.string).joined(separator: ", ")): cannot be combined: \(reason)"
        case .nonFinite(let file, let tensor, let index):
            "\(file): \(tensor): element \(index) is NaN or infinite; the training run diverged, use an earlier checkpoint"
        case .unmatched(let adapter, let count, let problems):
            AdapterError.list(
                problems,
                """
                \(adapter): \(problems.count) of \(count) changes do not fit the model\
                \(problems.count == count ? "; is this an adapter for another model?" : ":")
                """
            ) { "\($0)" }
        }
    }

    private static func describeMissingConfiguration(in directory: String, nearby: [String]) -> String {
        guard let last = nearby.last else {
            return "\(directory): has no adapter_config.json; give the directory that PEFT's save_pretrained(…) wrote"
        }
        let names = nearby.count <= listed ? nearby : Array(nearby.suffix(listed))
        let more = nearby.count > listed ? " (the last \(listed) of \(nearby.count))" : ""
        let separator = directory.hasSuffix("/") ? "" : "/"
        return """
            \(directory): has no adapter_config.json, but these directories in it have\(more): \
            \(names.joined(separator: ", ")); give one of them, such as \(directory)\(separator)\(last)
            """
    }

    /// A heading and the first problems, one a line, with the number of those left out.
    private static func list<Problem>(_ problems: [Problem], _ heading: String, _ line: (Problem) -> String) -> String {
        var lines = [heading]
        lines += problems.prefix(listed).map { "  " + line($0) }
        if problems.count > listed { lines.append("  and \(problems.count - listed) more") }
        return lines.joined(separator: "\n")
    }
}

extension AdapterTensorProblem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .missingFactor(let present, let missing):
            "\(present) is there, but \(missing) is not"
        case .encoding(let tensor, let found):
            "\(tensor): expected F32, F16 or BF16, found \(found.label.uppercased())"
        case .shape(let tensor, let found) where found.count < 2 || found.contains(0):
            """
            \(tensor): expected 2 dimensions, found \(found); a factor like this was saved by DeepSpeed ZeRO-3 or FSDP \
            without gathering its shards
            """
        case .shape(let tensor, let found):
            "\(tensor): expected 2 dimensions, or 3 to 5 for a convolution, found \(found)"
        case .groups(let module, let a, let b) where b > 0 && a.isMultiple(of: b):
            """
            \(module): belongs to a convolution with \(a / b) groups (lora_A has rank \(a), lora_B takes \(b) of it), whose \
            update is no sum of weights: PEFT cannot merge it either; serve the adapter unmerged
            """
        case .groups(let module, let a, let b):
            "\(module): lora_A has rank \(a) (its rows), lora_B has rank \(b) (its columns)"
        case .noConvolution(let module, let a, let b):
            "\(module): expected lora_A [r, in, kernel…] and lora_B [out, r, 1…] of a convolution, found \(a) and \(b)"
        case .unexpectedExpertRank(let module, let found, let expected):
            "\(module): lora_A has \(found) rows, which is no multiple of \(expected.joined(separator: " or "))"
        case .notOnParameters(let tensor):
            "\(tensor): target_parameters goes with plain factors only; PEFT has no use_dora and no lora_bias there"
        case .ranksDiffer(let module, let a, let b):
            "\(module): lora_A has rank \(a) (its rows), lora_B has rank \(b) (its columns)"
        case .unexpectedRank(let module, let expected, let found, let source):
            "\(module): expected rank \(expected) (\(source) in adapter_config.json), found \(found)"
        case .unannounced(let tensor, let field):
            "\(tensor): is there, but \(field) in adapter_config.json is not on; PEFT would drop it"
        case .vectorShape(let tensor, let expected, let found):
            "\(tensor): expected \(expected), found \(found)"
        case .repeated(let first, let second):
            "\(first) and \(second) are both there, and stand for the same thing"
        case .rowCount(let tensor, let expected, let found):
            "\(tensor): expected \(expected) rows (trainable_token_indices in adapter_config.json), found the shape \(found)"
        case .repeatedIndices(let tensor):
            "\(tensor): trainable_token_indices in adapter_config.json names a row twice"
        case .unwantedModule(let module, .excluded):
            "\(module): has factors, but exclude_modules in adapter_config.json leaves it out"
        case .unwantedModule(let module, .saved):
            "\(module): has factors, but modules_to_save in adapter_config.json has it trained in full, where PEFT puts none"
        case .unwantedModule(let module, .notTargeted):
            "\(module): has factors, but target_modules in adapter_config.json does not name it"
        case .unwantedModule(let module, .layer(let layer?, let expected)):
            "\(module): has factors for layer \(layer), but layers_to_transform in adapter_config.json is \(expected)"
        case .unwantedModule(let module, .layer(nil, let expected)):
            "\(module): has factors but no layer index, and layers_to_transform in adapter_config.json is \(expected)"
        }
    }
}
