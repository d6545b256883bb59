import Checkpoints
import Tensors

/// A change of an adapter and the tensor of the base model that it concerns.
public struct AdapterMatch: Hashable, Sendable {
    /// Index into ``LoRAAdapter/changes``.
    public let change: Int
    /// Index into the tensors that were matched.
    public let tensor: Int
}

/// Why a change of an adapter does not fit a model.
public enum LoRAMatchProblem: Hashable, Sendable {
    /// The model has no such tensor; `closest` are names in it that end alike, or the first of its names where none do.
    case noTensor(name: String, closest: [String])
    /// The adapter adds to a bias (`lora_bias`), and the module has none in the model.
    case noBias(module: String)
    /// The tensor has another shape than the change; `fitsTransposed` tells that the other `fan_in_fan_out` would do.
    case shape(name: String, expected: [Int], found: [Int], storedInOut: Bool, fitsTransposed: Bool)
    /// The adapter's factors are for another number of tokens.
    case vocabulary(name: String, expected: Int, found: Int)
    /// A trained row that the weight does not have.
    case noRow(name: String, row: Int, rows: Int)
    /// `modules_to_save` names the module, and the adapter's file does not have it.
    case missingCopy(name: String)
    /// Whole tensors for two tied tensors of the model that are not the same.
    case tiedDiffer(name: String, other: String)
    /// The weight is no matrix.
    case notAMatrix(name: String, found: [Int])
    /// The tensor's elements are no floating-point numbers.
    case notFloatingPoint(name: String, found: DType)
}

extension LoRAAdapter {
    /// Finds the tensor of every change among a model's tensors.
    ///
    /// - Parameter tiedHead: The head that is tied to the model's input embedding: what changes it changes that.
    /// - Returns: The matches, in the order of ``changes``. A whole tensor that the adapter has for both of two tied ones counts
    ///   once.
    /// - Throws: ``AdapterError/unmatched(adapter:count:_:)`` with every change that fits no tensor;
    ///   ``Tensors/FileError`` when the adapter cannot be read.
    public func match(to tensors: [LogicalTensor], tiedHead: TiedHead? = nil) throws -> [AdapterMatch] {
        var indices = Dictionary(
            tensors.indices.map { (tensors[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
        if let tiedHead { indices[headName] = tiedHead.embedding }
        var matches: [AdapterMatch] = []
        var problems: [LoRAMatchProblem] = []
        for (index, change) in changes.enumerated() {
            guard let tensor = indices[change.tensorName] else {
                problems.append(absence(of: change))
                continue
            }
            if let problem = problem(of: change, with: tensors[tensor]) {
                problems.append(problem)
            } else if let twin = try twin(of: change, at: tensor, among: matches) {
                if !twin.isEqual { problems.append(.tiedDiffer(name: change.tensorName, other: twin.name)) }
            } else {
                matches.append(AdapterMatch(change: index, tensor: tensor))
            }
        }
        problems += missingCopies(in: tensors)
        guard problems.isEmpty else {
            let names = ClosestNames(among: tensors.map(\.name))
            throw AdapterError.unmatched(
                adapter: directory, count: changes.count,
                problems.map { problem in
                    guard case .noTensor(let name, _) = problem else { return problem }
                    return .noTensor(name: name, closest: names.closest(to: name))
                })
        }
        return matches
    }

    private func absence(of change: AdapterChange) -> LoRAMatchProblem {
        switch change.kind {
        case .lowRank, .replacement, .rows: .noTensor(name: change.tensorName, closest: [])
        case .bias(let module): .noBias(module: modules[module].name)
        }
    }

    /// Another whole tensor for the same, tied, tensor of the model, and whether it is the same one.
    private func twin(
        of change: AdapterChange, at tensor: Int, among matches: [AdapterMatch]
    ) throws -> (name: String, isEqual: Bool)? {
        guard case .replacement(let index, _) = change.kind else { return nil }
        for match in matches where match.tensor == tensor {
            guard case .replacement(let other, _) = changes[match.change].kind else { continue }
            return (changes[match.change].tensorName, try haveEqualBytes(index, other))
        }
        return nil
    }

    /// Modules of the model that `modules_to_save` names and the file has nothing for: PEFT cannot load such an adapter.
    private func missingCopies(in tensors: [LogicalTensor]) -> [LoRAMatchProblem] {
        let present = Set(changes.map(\.tensorName))
        return tensors.filter { !present.contains($0.name) && configuration.savesModule(of: $0.name) }.map {
            .missingCopy(name: $0.name)
        }
    }

    private func problem(of change: AdapterChange, with tensor: LogicalTensor) -> LoRAMatchProblem? {
        if let dtype = tensor.encoding.denseDType, !dtype.isFloatingPoint {
            return .notFloatingPoint(name: tensor.name, found: dtype)
        }
        func shapeProblem(expected: [Int]) -> LoRAMatchProblem {
            .shape(
                name: tensor.name, expected: expected, found: tensor.shape, storedInOut: false, fitsTransposed: false)
        }
        switch change.kind {
        case .lowRank(let module): return problem(of: modules[module], with: tensor)
        case .bias(let module):
            let expected = [modules[module].outFeatures]
            return tensor.shape == expected ? nil : shapeProblem(expected: expected)
        case .replacement(let index, _):
            let shape = weights.tensors[index].shape
            // A vocabulary may have been resized in training.
            let fits =
                shape == tensor.shape
                || (TokenMatrix(tensor) != nil && shape.count == 2 && shape[1] == tensor.shape[1] && shape[0] > 0)
            return fits ? nil : shapeProblem(expected: shape)
        case .rows(let index, let rows):
            let shape = weights.tensors[index].shape
            guard tensor.shape.count == 2 else { return .notAMatrix(name: tensor.name, found: tensor.shape) }
            guard shape[1] == tensor.shape[1] else { return shapeProblem(expected: [tensor.shape[0], shape[1]]) }
            let count = rowsAfterReplacement(of: change.tensorName) ?? tensor.shape[0]
            return rows.max().flatMap { $0 < count ? nil : .noRow(name: tensor.name, row: $0, rows: count) }
        }
    }

    /// The rows of the whole tensor that the adapter has for a tensor of the base.
    private func rowsAfterReplacement(of name: String) -> Int? {
        for change in changes where change.tensorName == name {
            if case .replacement(let index, _) = change.kind { return weights.tensors[index].shape.first }
        }
        return nil
    }

    private func problem(of module: LoRAModule, with tensor: LogicalTensor) -> LoRAMatchProblem? {
        guard tensor.shape.count == 2 else { return .notAMatrix(name: tensor.name, found: tensor.shape) }
        // A whole tensor of the adapter comes first.
        let rows = rowsAfterReplacement(of: module.weightName) ?? tensor.shape[0]
        guard [rows, tensor.shape[1]] != module.weightShape else { return nil }
        if TokenMatrix(tensor) != nil, tensor.shape[1] == module.weightShape[1] {
            return .vocabulary(name: tensor.name, expected: module.weightShape[0], found: rows)
        }
        return .shape(
            name: tensor.name, expected: module.weightShape, found: tensor.shape, storedInOut: module.isStoredInOut,
            fitsTransposed: tensor.shape == module.weightShape(storedInOut: !module.isStoredInOut))
    }
}

extension LoRAMatchProblem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noTensor(let name, closest: []):
            return "\(name): the model has no tensors"
        case .noTensor(let name, let closest):
            return "\(name): not in the model, which has \(closest.joined(separator: ", "))"
        case .noBias(let module):
            return """
                \(module): lora_bias adds to its bias, and it has none in the model; PEFT cannot merge such an adapter \
                either: serve it unmerged, or give the base model a bias of zeros
                """
        case .shape(let name, let expected, let found, let storedInOut, fitsTransposed: true):
            let layout = storedInOut ? "[in, out]" : "[out, in]"
            let way =
                storedInOut
                ? "set fan_in_fan_out to false in adapter_config.json if the weight is stored [out, in] (nn.Linear)"
                : "set fan_in_fan_out to true in adapter_config.json if the weight is stored [in, out] (Conv1D, as in GPT-2)"
            return "\(name): expected \(expected) (\(layout), as fan_in_fan_out says), found \(found); \(way)"
        case .shape(let name, let expected, let found, _, fitsTransposed: false):
            return "\(name): expected \(expected) for what the adapter brings, found \(found)"
        case .vocabulary(let name, let expected, let found):
            return """
                \(name): the adapter was trained with \(expected) tokens, and the model has \(found); give attach-adapter \
                "vocab_size": \(expected), which resizes it as resize_token_embeddings does
                """
        case .noRow(let name, let row, let rows):
            return """
                \(name): trainable_token_indices names row \(row), and the model has \(rows) rows; if the vocabulary was \
                resized in training, give attach-adapter the "vocab_size" it then had
                """
        case .missingCopy(let name):
            return """
                \(name): modules_to_save in adapter_config.json names its module, but the adapter's file does not have it; \
                was the adapter saved completely?
                """
        case .tiedDiffer(let name, let other):
            return """
                \(name): the model ties it to \(other), and the adapter has different tensors for the two; untie the base \
                model (tie_word_embeddings: false, and a head of its own), or remove one of them from the adapter
                """
        case .notAMatrix(let name, let found):
            return "\(name): expected a matrix, found \(found)"
        case .notFloatingPoint(let name, let found):
            return "\(name): expected floating-point or 4-bit values, found \(found.rawValue)"
        }
    }
}
