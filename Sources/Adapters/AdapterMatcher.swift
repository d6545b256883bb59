import Checkpoints
import Tensors

/// Finds the tensors that an adapter changes among those of a model.
struct AdapterMatcher {
    let adapter: LoRAAdapter
    let tensors: [LogicalTensor]
    let orientation: WeightOrientation
    private let indices: [String: Int]

    /// - Parameter tiedHead: The head that is tied to the model's input embedding: what changes it changes that.
    init(adapter: LoRAAdapter, tensors: [LogicalTensor], orientation: WeightOrientation, tiedHead: TiedHead?) {
        self.adapter = adapter
        self.tensors = tensors
        self.orientation = orientation
        var indices = Dictionary(
            tensors.indices.map { (tensors[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
        if let tiedHead, let name = adapter.headName { indices[name] = tiedHead.embedding }
        self.indices = indices
    }

    /// The matches of the changes that fit, in the order of the changes, and what is wrong with the others.
    func examine() -> (matches: [AdapterMatch], problems: [LoRAMatchProblem]) {
        var matches: [AdapterMatch] = []
        var problems: [LoRAMatchProblem] = []
        let parameters = placedParameters(&problems)
        for (index, change) in adapter.changes.enumerated() {
            if case .lowRank(let module) = change.kind, adapter.modules[module].parameter != nil {
                matches += (parameters[module] ?? []).map { tensor, placement in
                    AdapterMatch(change: index, tensor: tensor, placement: placement)
                }
                continue
            }
            guard let tensor = indices[change.tensorName] else {
                problems.append(absence(of: change))
                continue
            }
            do throws(LoRAMatchProblems) {
                matches.append(
                    AdapterMatch(
                        change: index, tensor: tensor, placement: try placement(of: change, in: tensors[tensor])))
            } catch {
                problems += error.all
            }
        }
        problems += missingCopies
        guard !problems.isEmpty else { return (matches, []) }
        let names = ClosestNames(among: tensors.map(\.name))
        return (
            matches,
            problems.map { problem in
                guard case .noTensor(let name, _) = problem else { return problem }
                return .noTensor(name: name, closest: names.closest(to: name))
            }
        )
    }

    private func absence(of change: AdapterChange) -> LoRAMatchProblem {
        switch change.kind {
        case .lowRank, .replacement, .rows: .noTensor(name: change.tensorName, closest: [])
        case .bias(let module): .noBias(module: adapter.modules[module].name)
        }
    }

    private func placement(
        of change: AdapterChange, in tensor: LogicalTensor
    ) throws(LoRAMatchProblems) -> FactorPlacement? {
        try requireFloatingPoint(tensor)
        switch change.kind {
        case .lowRank(let index):
            let module = adapter.modules[index]
            return FactorPlacement(
                layout: try layout(of: module, in: tensor), rank: module.rank, scaling: module.scaling)
        case .bias(let index):
            let expected = [adapter.modules[index].outFeatures]
            guard tensor.shape == expected else {
                throw LoRAMatchProblems(
                    .shape(name: tensor.name, expected: expected, found: tensor.shape, fitsTransposed: false))
            }
            return nil
        case .replacement(let index, _):
            try check(replacement: adapter.weights.tensors[index].shape, of: tensor)
            return nil
        case .rows(let index, let rows):
            try check(rows: rows, of: adapter.weights.tensors[index].shape, change.tensorName, in: tensor)
            return nil
        }
    }

    private func requireFloatingPoint(_ tensor: LogicalTensor) throws(LoRAMatchProblems) {
        guard let dtype = tensor.encoding.denseDType, !dtype.isFloatingPoint else { return }
        throw LoRAMatchProblems(.notFloatingPoint(name: tensor.name, found: dtype))
    }

    // MARK: - Whole tensors and rows

    /// A whole tensor has the shape of the base's; but a vocabulary may have been resized in training.
    private func check(replacement shape: [Int], of tensor: LogicalTensor) throws(LoRAMatchProblems) {
        let isResized =
            TokenMatrix(tensor) != nil && shape.count == 2 && shape[1] == tensor.shape[1] && shape[0] > 0
        guard shape == tensor.shape || isResized else {
            throw LoRAMatchProblems(
                .shape(name: tensor.name, expected: shape, found: tensor.shape, fitsTransposed: false))
        }
    }

    private func check(
        rows: [Int], of shape: [Int], _ name: String, in tensor: LogicalTensor
    ) throws(LoRAMatchProblems) {
        guard tensor.shape.count == 2 else {
            throw LoRAMatchProblems(.notAMatrix(name: tensor.name, found: tensor.shape))
        }
        guard shape[1] == tensor.shape[1] else {
            throw LoRAMatchProblems(
                .shape(
                    name: tensor.name, expected: [tensor.shape[0], shape[1]], found: tensor.shape,
                    fitsTransposed: false))
        }
        let count = rowsAfterReplacement(of: name) ?? tensor.shape[0]
        if let row = rows.max(), row >= count {
            throw LoRAMatchProblems(.noRow(name: tensor.name, row: row, rows: count))
        }
    }

    /// Modules of the model that `modules_to_save` names and the file has nothing for: PEFT cannot load such an adapter.
    private var missingCopies: [LoRAMatchProblem] {
        let present = Set(adapter.changes.map(\.tensorName))
        return tensors.filter { !present.contains($0.name) && adapter.configuration.savesModule(of: $0.name) }.map {
            .missingCopy(name: $0.name)
        }
    }

    /// The rows of the whole tensor that the adapter has for a tensor of the base, which updates are added to.
    private func rowsAfterReplacement(of name: String) -> Int? {
        for change in adapter.changes where change.tensorName == name {
            if case .replacement(let index, _) = change.kind { return adapter.weights.tensors[index].shape.first }
        }
        return nil
    }

    // MARK: - Weights of modules

    /// How the product of a module's factors lies in its weight.
    private func layout(of module: LoRAModule, in tensor: LogicalTensor) throws(LoRAMatchProblems) -> FactorLayout {
        if module.kind == .linear || module.kind == .embedding, tensor.shape.count != 2 {
            throw LoRAMatchProblems(.notAMatrix(name: tensor.name, found: tensor.shape))
        }
        if TokenMatrix(tensor) != nil { return try layoutOfTokens(module, in: tensor) }
        let (plain, flipped) = (module.weightShape(storedInOut: false), module.weightShape(storedInOut: true))
        let isSquare = plain == flipped
        var storedInOut = !isSquare && tensor.shape == flipped
        if let known = isKnownInOut(tensor) {
            storedInOut = known
        } else if isSquare, module.kind == .linear {
            guard !isConfigurationContradicted || tensor.shape != plain else {
                throw LoRAMatchProblems(
                    .unclearOrientation(name: tensor.name, shape: tensor.shape, storedInOut: module.isStoredInOut))
            }
            storedInOut = module.isStoredInOut
        }
        let expected = storedInOut ? flipped : plain
        guard tensor.shape == expected else {
            throw LoRAMatchProblems(
                .shape(
                    name: tensor.name, expected: expected, found: tensor.shape,
                    fitsTransposed: tensor.shape == (storedInOut ? plain : flipped)))
        }
        return storedInOut ? .inOut : .outIn
    }

    /// The same for an embedding or an output head, [tokens, width], of whatever vocabulary the adapter leaves.
    private func layoutOfTokens(
        _ module: LoRAModule, in tensor: LogicalTensor
    ) throws(LoRAMatchProblems) -> FactorLayout {
        let isEmbedding = module.kind == .embedding
        let expected = module.weightShape(storedInOut: isEmbedding)
        let rows = rowsAfterReplacement(of: module.weightName) ?? tensor.shape[0]
        guard expected != [rows, tensor.shape[1]] else { return isEmbedding ? .inOut : .outIn }
        throw LoRAMatchProblems(
            tensor.shape[1] == expected[1]
                ? .vocabulary(name: tensor.name, expected: expected[0], found: rows)
                : .shape(name: tensor.name, expected: expected, found: tensor.shape, fitsTransposed: false))
    }

    /// Whether a weight is stored [in, out], where that does not hang on the adapter; `nil` where it does.
    private func isKnownInOut(_ tensor: LogicalTensor) -> Bool? {
        // transformers transposes a Conv1D before it quantizes it.
        if tensor.encoding.blockQuantization != nil { return false }
        return orientation.hasConv1D ? orientation.isConv1D(tensor) : nil
    }

    /// Whether the shape of some weight shows that `fan_in_fan_out` is not what all modules are like.
    ///
    /// PEFT corrects the field for each module by its class, and saves what it was for the last.
    private var isConfigurationContradicted: Bool {
        adapter.modules.contains { module in
            guard module.kind == .linear, let index = indices[module.weightName] else { return false }
            let (plain, flipped) = (module.weightShape(storedInOut: false), module.weightShape(storedInOut: true))
            return plain != flipped && tensors[index].shape == (module.isStoredInOut ? plain : flipped)
                && isKnownInOut(tensors[index]) == nil
        }
    }

    // MARK: - Parameters

    /// For each module of factors of a parameter the tensors with its values.
    private func placedParameters(
        _ problems: inout [LoRAMatchProblem]
    ) -> [Int: [(tensor: Int, placement: FactorPlacement)]] {
        var owners: [String: [(index: Int, module: LoRAModule)]] = [:]
        var order: [String] = []
        for (index, module) in adapter.modules.enumerated() {
            guard let owner = module.parameter?.owner else { continue }
            if owners[owner] == nil { order.append(owner) }
            owners[owner, default: []].append((index, module))
        }
        guard !order.isEmpty else { return [:] }
        let places = ParameterPlaces(tensors, indices: indices)
        var placed: [Int: [(tensor: Int, placement: FactorPlacement)]] = [:]
        for owner in order {
            let modules = owners[owner] ?? []
            let targets = modules.first?.module.parameter?.targets ?? []
            let assignment = ParameterAssignment(
                owner: owner, modules: modules,
                places: targets.compactMap { target in
                    places.place(of: target.name, on: owner).map { (target, $0) }
                },
                orientation: orientation,
                writerKnowsOrientation: adapter.configuration.peftVersion.map { $0 >= ParameterAssignment.firstKnowing }
                    ?? false)
            do throws(LoRAMatchProblems) {
                for solved in try assignment.solve() {
                    placed[solved.module] = solved.tensors
                    for (tensor, _) in solved.tensors { try requireFloatingPoint(tensors[tensor]) }
                }
            } catch {
                problems += error.all
            }
        }
        return placed
    }
}
