import Checkpoints
import Tensors

/// How the names that an adapter uses for a model's tensors become those that the model has.
public struct AdapterNameFit: Sendable {
    /// The names of the adapter, by those of the model, where they differ.
    fileprivate let adapterNames: [String: String]
    /// The rule in words; `nil` where names are equal.
    public let rule: String?

    /// The name that the adapter uses for a tensor of the model.
    public func adapterName(of name: String) -> String { adapterNames[name] ?? name }

    /// The name that the model has for what the adapter calls so.
    public func modelName(of name: String) -> String { adapterNames.first { $0.value == name }?.key ?? name }

    /// Names are equal.
    static let identity = AdapterNameFit(adapterNames: [:], rule: nil)

    /// A model's tensors under the names that the adapter uses.
    public func renamed(_ tensors: [LogicalTensor]) -> [LogicalTensor] {
        guard !adapterNames.isEmpty else { return tensors }
        let taken = Set(adapterNames.values)
        return tensors.map { tensor in
            var renamed = tensor
            if let name = adapterNames[tensor.name] {
                renamed.name = name
            } else if taken.contains(tensor.name) {
                // Another tensor stands for this name.
                renamed.name = "(not the adapter's) " + tensor.name
            }
            return renamed
        }
    }
}

extension LoRAAdapter {
    /// Finds out how the adapter's names fit a model's: as they are, by the rule that is given, or by the only known rule
    /// that makes every one of them match.
    ///
    /// - Parameters:
    ///   - names: The model's tensors.
    ///   - rename: A rule for the adapter's names of the model's tensors (`model.layers.0.self_attn.q_proj.weight`).
    ///   - headIsTied: Whether the model's output head is its input embedding, so that its name need not be there.
    /// - Throws: ``AdapterError/ambiguousNames(adapter:example:choices:)`` when several known rules match, and
    ///   ``AdapterError/unusableRename(adapter:rule:reason:)``.
    public func nameFit(
        to names: [String], rename: RenameRule? = nil, headIsTied: Bool = false
    ) throws(AdapterError) -> AdapterNameFit {
        var own = changes.map(\.tensorName).reduce(into: [String]()) { if $0.last != $1 { $0.append($1) } }
        if let rename { return try fit(own, by: rename) }
        if headIsTied { own.removeAll { TokenMatrix(tensorName: $0) == .head } }
        let present = Set(names)
        // The names of whole tensors say more than where an update goes; they are matched as they are, or by a given rule.
        guard onlyAdds, !own.allSatisfy(present.contains) else { return .identity }
        var found: [[String]: (from: ModelLayout, to: ModelLayout)] = [:]
        for (parts, layouts) in ModelLayout.families {
            for from in layouts {
                for to in layouts where to != from {
                    let moved = own.compactMap { from.moved($0, to: to, parts: parts) }
                    guard moved.count == own.count, moved.allSatisfy(present.contains) else { continue }
                    if found[moved] == nil { found[moved] = (from, to) }
                }
            }
        }
        guard found.count < 2 else {
            let choices = found.values.map { from, to in
                "s/^\(from.text.replacing(".", with: "\\."))/\(to.text)/"
            }
            throw .ambiguousNames(adapter: directory, example: own.first ?? "", choices: choices.sorted())
        }
        guard let (moved, rule) = found.first, Set(moved).count == moved.count else { return .identity }
        return AdapterNameFit(
            adapterNames: Dictionary(zip(moved, own), uniquingKeysWith: { first, _ in first }),
            rule: "\"\(rule.from.text)…\" is \"\(rule.to.text)…\" in the model")
    }

    /// Whether all that the adapter does is to add to weights and biases.
    private var onlyAdds: Bool {
        changes.allSatisfy { change in
            switch change.kind {
            case .lowRank, .bias: true
            case .replacement, .rows: false
            }
        }
    }

    private func fit(_ own: [String], by rename: RenameRule) throws(AdapterError) -> AdapterNameFit {
        func unusable(_ reason: String) -> AdapterError {
            .unusableRename(adapter: directory, rule: rename.text, reason: reason)
        }
        let renamed = rename.applied(to: own)
        guard renamed != own else {
            throw unusable("changes none of the adapter's names, which look like \"\(own.first ?? "")\"")
        }
        var adapterNames: [String: String] = [:]
        for (new, old) in zip(renamed, own) {
            if let other = adapterNames.updateValue(old, forKey: new), other != old {
                throw unusable("makes \"\(new)\" of both \"\(other)\" and \"\(old)\"")
            }
        }
        return AdapterNameFit(adapterNames: adapterNames, rule: rename.text)
    }
}
