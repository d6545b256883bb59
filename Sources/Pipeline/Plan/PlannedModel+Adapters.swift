import Adapters
import Checkpoints
import Quantization
import Reports
import Tensors

extension PlannedModel {
    /// Puts an adapter's changes beside the tensors they belong to.
    ///
    /// - Parameters:
    ///   - path: The adapter as reports and containers name it.
    ///   - rename: A rule that makes the adapter's names the model's, where they differ.
    ///   - vocabularySize: The number of tokens that the adapter was trained with, where that is not the model's and the
    ///     adapter does not have all that is needed to tell.
    /// - Throws: ``Adapters/AdapterError`` when the adapter does not fit the model; ``PlanError`` when it does not say what is
    ///   to become of some of it.
    mutating func attach(
        _ adapter: LoRAAdapter, weight: Double, path: String, rename: RenameRule? = nil, vocabularySize: Int? = nil,
        place: String
    ) throws {
        try PlannedModel.checkWeight(weight, of: adapter, place: place)
        try replicateLayers(adapter.configuration.layerReplication)
        let tied = try tiedHead(for: adapter, place: place)
        let names = try adapter.nameFit(
            to: tensors.map(\.tensor.name), rename: rename, headIsTied: tied != nil)
        if let vocabularySize { try resizeVocabulary(to: vocabularySize, for: adapter, names, place: place) }
        let embedding = tied.map { tensors[$0.embedding].tensor.name }
        let unties = embedding.map { adapter.unties(embedding: names.adapterName(of: $0)) } ?? false
        if let tied, let embedding, unties {
            appendHead(adapter.headName(besides: embedding, names), like: tied.embedding)
        }
        noteNames(of: adapter, names, path: path)
        if adapters.contains(where: { $0.pathInSpec == path && $0.adapter.files == adapter.files }) {
            warnings.append("\(place): adapter \(path) is attached already, and its update counts again")
        }
        let matches = try adapter.match(
            to: names.renamed(tensors.map(\.tensor)), orientation: WeightOrientation(config: input.config),
            tiedHead: unties ? nil : tied)
        for match in matches {
            let change = PendingChange(adapter: adapters.count, change: match.change, placement: match.placement)
            if case .replacement = adapter.changes[match.change].kind, !tensors[match.tensor].pendingChanges.isEmpty {
                throw PlanError(
                    place: place,
                    problem:
                        "\"\(tensors[match.tensor].tensor.name)\" is to be replaced as a whole, and another adapter changes it too",
                    remedy: "merge the adapters one after the other, each with a merge step of its own")
            }
            try checkRows(of: adapter.changes[match.change].kind, beside: tensors[match.tensor], place: place)
            tensors[match.tensor].pendingChanges.append(change)
        }
        adapters.append(AttachedAdapter(adapter: adapter, weight: weight, pathInSpec: path, matches: matches))
        try checkVocabulary(place: place)
        if let tied, !unties { warnOfTiedUpdates(matches, tied, place: place) }
    }

    /// Refuses rows that another adapter has trained too: there is no sum of them, and PEFT merges no such pair.
    private func checkRows(of kind: AdapterChange.Kind, beside tensor: PlannedTensor, place: String) throws(PlanError) {
        guard case .rows(_, let indices) = kind else { return }
        for change in tensor.pendingChanges {
            guard change.adapter < adapters.count, case .rows(_, let others) = self.kind(of: change),
                let row = Set(others).intersection(indices).min()
            else { continue }
            throw PlanError(
                place: place,
                problem:
                    "token \(row) of \"\(tensor.tensor.name)\" is trained by this adapter and by \(adapters[change.adapter].pathInSpec)",
                remedy: "merge the adapters one after the other, each with a merge step of its own; the last one counts"
            )
        }
    }

    /// Tells which rules brought names together.
    private mutating func noteNames(of adapter: LoRAAdapter, _ fit: AdapterNameFit, path: String) {
        if !adapter.nameRules.isEmpty {
            warnings.append(
                "adapter \(path): its tensors' names are read \(adapter.nameRules.joined(separator: ", ")), as PEFT would have saved them"
            )
        }
        if let rule = fit.rule { warnings.append("adapter \(path): its names were matched by a rule: \(rule)") }
    }

    /// Whole tensors count fully or not at all, and a scaling must be a number still when it is weighted.
    private static func checkWeight(_ weight: Double, of adapter: LoRAAdapter, place: String) throws(PlanError) {
        if let module = adapter.modules.first(where: { !Float($0.scaling * weight).isFinite }) {
            throw PlanError(
                place: place,
                problem:
                    "\"weight\" is \(weight), and with the scaling of \(module.name), \(NumberText.significant(module.scaling, digits: 4)), more than float32 holds",
                remedy: "give a smaller \"weight\"")
        }
        let whole = adapter.changes.first { change in
            switch change.kind {
            case .lowRank, .bias: false
            case .replacement, .rows: true
            }
        }
        guard weight != 1, let whole else { return }
        throw PlanError(
            place: place,
            problem: "\"weight\" is \(weight), and the adapter replaces \"\(whole.tensorName)\", which has no weight",
            remedy: "drop \"weight\"")
    }

    /// The head that is tied to the input embedding, where that matters to an adapter.
    private func tiedHead(for adapter: LoRAAdapter, place: String) throws(PlanError) -> TiedHead? {
        let tensors = tensors.map(\.tensor)
        guard adapter.changes.contains(where: { TokenMatrix(tensorName: $0.tensorName) != nil }) else { return nil }
        if input.config?.tiesWordEmbeddings == true, let head = tensors.first(where: { TokenMatrix($0) == .head }),
            !self.tensors.contains(where: { $0.tensor.name == head.name && $0.isAddedHead })
        {
            throw PlanError(
                place: place,
                problem:
                    "config.json ties the output head to the embedding, but the model has a \"\(head.name)\" of its own",
                remedy: "remove it, or set tie_word_embeddings to false in config.json if it is the one in use")
        }
        return TiedHead(tensors, tiesEmbeddings: input.config?.tiesWordEmbeddings)
    }

    /// Gives a tied head a weight of its own, which begins as the embedding.
    private mutating func appendHead(_ name: String, like embedding: Int) {
        let original = tensors[embedding]
        var tensor = sourceTensor(of: original)
        tensor.name = name
        var head = PlannedTensor(source: original.source, tensor: tensor)
        head.isAddedHead = true
        head.pendingChanges = original.pendingChanges
        for operation in original.operations where !(operation is Emit) { head.append(operation) }
        tensors.append(head)
    }

    /// Gives the embeddings and the head that the adapter does not have as a whole the rows it was trained with.
    ///
    /// - Throws: ``PlanError`` when the adapter has other rows, a tensor cannot be resized, or there is none to resize.
    private mutating func resizeVocabulary(
        to size: Int, for adapter: LoRAAdapter, _ names: AdapterNameFit, place: String
    ) throws(PlanError) {
        var replaced: Set<String> = []
        for case (let name, .replacement(let tensor, _)) in adapter.changes.map({ ($0.tensorName, $0.kind) }) {
            let rows = adapter.weights.tensors[tensor].shape.first ?? 0
            guard TokenMatrix(tensorName: name) == nil || rows == size else {
                throw PlanError(
                    place: place,
                    problem: "\"vocab_size\" is \(size), and the adapter has \(rows) rows for \"\(name)\"",
                    remedy: "give \(rows), or drop \"vocab_size\"")
            }
            replaced.insert(name)
        }
        var hasEffect = replaced.contains { TokenMatrix(tensorName: $0) != nil }
        for index in tensors.indices {
            let tensor = tensors[index].tensor
            guard TokenMatrix(tensor) != nil, !replaced.contains(names.adapterName(of: tensor.name)),
                tensor.shape[0] != size
            else { continue }
            guard case .dense(let dtype) = tensor.encoding, [.bf16, .f16, .f32].contains(dtype) else {
                throw PlanError(
                    place: place, problem: "cannot resize \"\(tensor.name)\", which is \(tensor.encoding.label)",
                    remedy: "put \"dequantize\" or \"cast\" before this step")
            }
            tensors[index].append(
                ResizeRows(dtype: dtype, shape: [size, tensor.shape[1]], rowsBefore: tensor.shape[0]))
            hasEffect = true
        }
        guard hasEffect else {
            throw PlanError(
                place: place,
                problem:
                    "\"vocab_size\" is \(size), and the model has no embedding or output head with another number of rows",
                remedy: "drop it")
        }
    }

    /// Refuses a model whose embedding and head would have different numbers of tokens.
    private func checkVocabulary(place: String) throws(PlanError) {
        let sizes = tensors.compactMap { planned -> (name: String, before: Int, after: Int)? in
            guard TokenMatrix(planned.tensor) != nil else { return nil }
            var rows = planned.tensor.shape[0]
            for change in planned.pendingChanges {
                guard case .replacement(let tensor, _) = kind(of: change) else { continue }
                rows = adapters[change.adapter].adapter.weights.tensors[tensor].shape[0]
            }
            return (planned.tensor.name, planned.tensor.shape[0], rows)
        }
        guard let resized = sizes.first(where: { $0.before != $0.after }),
            let other = sizes.first(where: { $0.before == resized.before && $0.after != resized.after })
        else { return }
        throw PlanError(
            place: place,
            problem:
                "the adapter has \(resized.after) rows for \"\(resized.name)\", and \"\(other.name)\" would stay at \(other.after)",
            remedy:
                "give this step \"vocab_size\": \(resized.after), which resizes the other as resize_token_embeddings does"
        )
    }

    /// PEFT's merge changes a tied head together with the embedding, although the adapter unmerged does not.
    private mutating func warnOfTiedUpdates(_ matches: [AdapterMatch], _ tied: TiedHead, place: String) {
        let isUpdated = matches.contains { match in
            guard match.tensor == tied.embedding, let adapter = adapters.last?.adapter else { return false }
            if case .lowRank = adapter.changes[match.change].kind { return true }
            return false
        }
        guard isUpdated else { return }
        warnings.append(
            "\(place): \"\(tensors[tied.embedding].tensor.name)\" is also the output head's weight: the update changes both, as PEFT's merge does, but not the adapter unmerged"
        )
    }
}
