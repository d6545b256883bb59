import SystemPackage
import Tensors

/// What the tensors of an adapter's file are, by their names, in the file's order.
struct AdapterTensors {
    /// A tensor of the file.
    struct Entry {
        let index: Int
        let tensor: LogicalTensor
    }

    /// The low-rank updates, module by module.
    let modules: [ModuleTensors]
    /// Tensors that replace the base's, under the names that the base has for them.
    let wholes: [(name: String, entry: Entry)]
    /// Trained rows of modules' weights.
    let rows: [(module: String, entry: Entry)]

    /// - Throws: ``AdapterError/unsupportedTensors(file:_:)`` for anything else.
    init(_ tensors: [LogicalTensor], file: FilePath) throws(AdapterError) {
        guard !tensors.isEmpty else { throw .empty(file: file) }
        var factors: [String: [FactorRole: Entry]] = [:]
        var order: [String] = []
        var wholes: [(String, Entry)] = []
        var rows: [(String, Entry)] = []
        var again: [(name: String, isOriginal: Bool, entry: Entry)] = []
        var unsupported: [UnsupportedTensor] = []
        for (index, tensor) in tensors.enumerated() {
            let entry = Entry(index: index, tensor: tensor)
            switch AdapterTensorName(tensor.name) {
            case .factor(let module, let role):
                if factors[module] == nil { order.append(module) }
                factors[module, default: [:]][role] = entry
            case .rows(let module): rows.append((module, entry))
            case .whole(let name): wholes.append((name, entry))
            case .savedTwice(let name, let isOriginal): again.append((name, isOriginal, entry))
            case .unsupported(let feature):
                unsupported.append(UnsupportedTensor(name: tensor.name, feature: feature))
            }
        }
        // PEFT takes the tensor without an infix, and has no use for the others once it is merged.
        let names = Set(wholes.map(\.0))
        for (name, isOriginal, entry) in again where !names.contains(name) {
            if isOriginal {
                unsupported.append(
                    UnsupportedTensor(name: entry.tensor.name, feature: "an original without its trained copy"))
            } else {
                wholes.append((name, entry))
            }
        }
        guard unsupported.isEmpty else { throw .unsupportedTensors(file: file, unsupported) }
        modules = order.map { ModuleTensors(module: $0, entries: factors[$0] ?? [:]) }
        self.wholes = wholes
        self.rows = rows
    }

    /// The tensors that replace the base's, as changes.
    func replacements(_ rules: ModuleRules) throws(AdapterTensorProblems) -> [AdapterChange] {
        var problems: [AdapterTensorProblem] = []
        var names: [String: String] = [:]
        var changes: [AdapterChange] = []
        for (name, entry) in wholes {
            if let problem = entry.encodingProblem { problems.append(problem) }
            if let other = names.updateValue(entry.tensor.name, forKey: name) {
                problems.append(.repeated(first: other, second: entry.tensor.name))
            }
            changes.append(
                AdapterChange(
                    tensorName: name, kind: .replacement(tensor: entry.index, isCopy: rules.savesModule(of: name))))
        }
        guard problems.isEmpty else { throw AdapterTensorProblems(problems) }
        return changes
    }

    /// The trained rows, as changes.
    func trainedRows(_ rules: ModuleRules) throws(AdapterTensorProblems) -> [AdapterChange] {
        var problems: [AdapterTensorProblem] = []
        var changes: [AdapterChange] = []
        for (module, entry) in rows {
            if let problem = entry.encodingProblem { problems.append(problem) }
            guard let indices = rules.tokenIndices(of: module) else {
                problems.append(.unannounced(tensor: entry.tensor.name, field: "trainable_token_indices"))
                continue
            }
            guard entry.tensor.shape.count == 2, entry.tensor.shape[0] == indices.count else {
                problems.append(
                    .rowCount(tensor: entry.tensor.name, expected: indices.count, found: entry.tensor.shape))
                continue
            }
            if Set(indices).count < indices.count { problems.append(.repeatedIndices(tensor: entry.tensor.name)) }
            changes.append(
                AdapterChange(
                    tensorName: module + ".weight", kind: .rows(tensor: entry.index, indices: indices)))
        }
        guard problems.isEmpty else { throw AdapterTensorProblems(problems) }
        return changes
    }
}

extension AdapterTensors.Entry {
    /// What is wrong with how the tensor is stored.
    var encodingProblem: AdapterTensorProblem? {
        guard let dtype = tensor.encoding.denseDType, [.f32, .f16, .bf16].contains(dtype) else {
            return .encoding(tensor: tensor.name, found: tensor.encoding)
        }
        return nil
    }
}
