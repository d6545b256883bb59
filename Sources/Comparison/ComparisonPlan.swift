import Adapters
import Checkpoints
import Tensors

/// What will be compared with what, from headers alone.
struct ComparisonPlan: Sendable {
    let a: ComparedModel
    let b: ComparedModel
    /// The tensors of a in its order, then those that only b has.
    let pairs: [TensorPair]
    let adapter: LoRAAdapter?

    /// - Throws: ``ComparisonError`` when a rule or a pattern has no effect, nothing is left to compare, or names collide; ``Adapters/AdapterError``
    ///   when the adapter does not fit a.
    init(a: ComparedModel, b: ComparedModel, options: ComparisonOptions) throws {
        guard a.kind == b.kind else {
            throw a.kind == .adapter
                ? ComparisonError.differentKinds(model: b.path, adapter: a.path)
                : ComparisonError.differentKinds(model: a.path, adapter: b.path)
        }
        self.a = a
        self.b = b
        let names = try ComparisonPlan.renamed(a: a, b: b, rules: options.renames)
        var pairs = ComparisonPlan.pairs(a: a, namesOfA: names.a, b: b, namesOfB: names.b)
        adapter = try options.adapter.map { path in
            guard a.kind == .model else { throw ComparisonError.adapterAsBase(a.path) }
            let adapter = try LoRAAdapter(directory: path)
            if let change = adapter.changes.first(where: { !adapter.isAddition($0) }) {
                throw ComparisonError.notAdditive(adapter: path, tensor: change.tensorName, feature: change.feature)
            }
            if !adapter.configuration.layerReplication.isEmpty {
                throw ComparisonError.notAdditive(
                    adapter: path, tensor: "the model", feature: "copied layers (layer_replication)")
            }
            let renamed = zip(a.reader.tensors, names.a).map { tensor, name in
                LogicalTensor(name: name, shape: tensor.shape, encoding: tensor.encoding)
            }
            let config = a.configuration.flatMap { $0["tie_word_embeddings"]?.bool }
            let tied = TiedHead(renamed, tiesEmbeddings: config)
            // The pairs begin with the tensors of a, in their order.
            let names = try adapter.nameFit(to: renamed.map(\.name), headIsTied: tied != nil)
            let orientation = WeightOrientation(configuration: a.configuration)
            for match in try adapter.match(to: names.renamed(renamed), orientation: orientation, tiedHead: tied) {
                pairs[match.tensor].changes.append(match)
            }
            return adapter
        }
        self.pairs = try ComparisonPlan.selected(pairs, options)
    }

    private static func renamed(
        a: ComparedModel, b: ComparedModel, rules: [RenameRule]
    ) throws(ComparisonError) -> (a: [String], b: [String]) {
        var namesOfA = a.reader.tensors.map(\.name)
        var namesOfB = b.reader.tensors.map(\.name)
        for rule in rules {
            let renamedA = rule.applied(to: namesOfA)
            let renamedB = rule.applied(to: namesOfB)
            guard renamedA != namesOfA || renamedB != namesOfB else {
                throw .idleRule(text: rule.text, example: namesOfA.first ?? namesOfB.first ?? "")
            }
            namesOfA = renamedA
            namesOfB = renamedB
        }
        try checkNames(namesOfA, of: a)
        try checkNames(namesOfB, of: b)
        return (namesOfA, namesOfB)
    }

    private static func checkNames(_ names: [String], of model: ComparedModel) throws(ComparisonError) {
        var seen: [String: Int] = [:]
        for (index, name) in names.enumerated() {
            if let first = seen.updateValue(index, forKey: name) {
                throw .ambiguousNames(
                    model: model.path, first: model.reader.tensors[first].name,
                    second: model.reader.tensors[index].name, name: name)
            }
        }
    }

    private static func pairs(
        a: ComparedModel, namesOfA: [String], b: ComparedModel, namesOfB: [String]
    ) -> [TensorPair] {
        func sides(_ model: ComparedModel) -> [TensorPair.Side] {
            model.reader.tensors.enumerated().map { TensorPair.Side(index: $0.offset, tensor: $0.element) }
        }
        let sidesOfB = sides(b)
        // Tensor names are compared as text; a checkpoint cannot hold two that are equal.
        var left = Dictionary(zip(namesOfB, sidesOfB), uniquingKeysWith: { first, _ in first })
        let ofA = zip(namesOfA, sides(a)).map { name, side in
            TensorPair(name: name, a: side, b: left.removeValue(forKey: name))
        }
        let onlyInB = zip(namesOfB, sidesOfB).filter { left[$0.0] != nil }.map { name, side in
            TensorPair(name: name, a: nil, b: side)
        }
        return ofA + onlyInB
    }

    private static func selected(
        _ pairs: [TensorPair], _ options: ComparisonOptions
    ) throws(ComparisonError) -> [TensorPair] {
        for glob in options.include + options.exclude
        where !pairs.contains(where: { glob.matches(tensorName: $0.name) }) {
            throw .idlePattern(text: glob.pattern, example: pairs.first?.name ?? "")
        }
        let selected = pairs.filter { pair in
            guard !options.exclude.contains(where: { $0.matches(tensorName: pair.name) }) else { return false }
            return options.include.isEmpty || options.include.contains { $0.matches(tensorName: pair.name) }
        }
        guard !selected.isEmpty || pairs.isEmpty else {
            throw .nothingSelected(include: options.include.map(\.pattern), exclude: options.exclude.map(\.pattern))
        }
        return selected
    }
}
