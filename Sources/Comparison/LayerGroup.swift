import Quantization
import Reports

/// Tensors that stand at the same place of different layers and are stored alike.
struct LayerGroup {
    /// The members, in order.
    private(set) var tensors: [TensorDifference]

    /// The sums of all members together.
    let sums: ErrorSums
    let updateSums: ErrorSums?

    private init(_ tensors: [TensorDifference]) {
        self.tensors = tensors
        sums = tensors.reduce(into: ErrorSums()) { sums, tensor in
            if let next = tensor.sums { sums.merge(next) }
        }
        let updates = tensors.compactMap { $0.update?.sums }
        updateSums =
            updates.isEmpty ? nil : updates.reduce(into: ErrorSums()) { sums, next in sums.merge(next) }
    }

    /// A group for each tensor.
    static func each(_ tensors: [TensorDifference]) -> [LayerGroup] { tensors.map { LayerGroup([$0]) } }

    /// Like layers together, in the order of their first members.
    static func grouped(_ tensors: [TensorDifference]) -> [LayerGroup] {
        struct Key: Hashable {
            let pattern: String
            let outcome: TensorDifference.Outcome
            let before: String?
            let after: String?
        }
        var members: [Key: [TensorDifference]] = [:]
        var order: [Key] = []
        for tensor in tensors {
            let key = Key(
                pattern: LayerNames.pattern(of: tensor.name), outcome: tensor.outcome, before: tensor.a?.encoding.label,
                after: tensor.b?.encoding.label)
            if members[key] == nil { order.append(key) }
            members[key, default: []].append(tensor)
        }
        return order.compactMap { key in members[key].map { LayerGroup($0) } }
    }

    /// The name of a single tensor; of several, one name with a range of layers
    /// (`model.layers.0-29.mlp.up_proj.weight`).
    var name: String { LayerNames.common(tensors.map(\.name)) }

    /// The figures of all members together.
    var figures: ErrorFigures {
        tensors.allSatisfy { $0.outcome == .identical }
            ? .untouched : ErrorFigures(sums, update: updateSums ?? ErrorSums())
    }

    /// The relative error of all members together, infinite where they were zero and no longer are.
    var error: Double? { figures.relativeError ?? sums.boundlessError }

    /// The share of elements that are not the same number.
    var changedShare: Double? { share(\.changedShare) }

    /// The share of codes that differ.
    var codesChangedShare: Double? { share(\.codesChangedShare) }

    /// A share of the elements of the members together.
    private func share(_ figure: (TensorDifference) -> Double?) -> Double? {
        var total = 0.0
        var sum = 0.0
        for tensor in tensors {
            guard let share = figure(tensor) else { continue }
            total += Double(tensor.elements)
            sum += share * Double(tensor.elements)
        }
        return total > 0 ? sum / total : nil
    }

    /// The largest of a figure of the members.
    func largest(_ figure: (TensorDifference) -> Double?) -> Double? { tensors.compactMap(figure).max() }

    /// The least of a figure of the members.
    func least(_ figure: (TensorDifference) -> Double?) -> Double? { tensors.compactMap(figure).min() }
}

extension ErrorSums {
    /// Infinity where there is an error that no number relates to the exact result; `nil` where there is none.
    var boundlessError: Double? { squaredError > 0 ? .infinity : nil }
}
