/// Names that differ by the number of their layer alone.
package enum LayerNames {
    /// A name with every component that is a number replaced by a star.
    package static func pattern(of name: String) -> String {
        name.split(separator: ".", omittingEmptySubsequences: false)
            .map { !$0.isEmpty && $0.allSatisfy(\.isWholeNumber) ? "*" : String($0) }
            .joined(separator: ".")
    }

    /// The name of a single member; of several with one ``pattern(of:)``, one name with a range of layers
    /// (`model.layers.0-29.mlp.up_proj.weight`) or, where they do not form one, a star.
    package static func common(_ members: [String]) -> String {
        let names = members.map { $0.split(separator: ".", omittingEmptySubsequences: false) }
        guard let first = names.first, names.count > 1 else { return members.first ?? "" }
        return first.indices.map { place in
            let values = Set(names.map { $0[place] })
            guard values.count > 1 else { return String(first[place]) }
            let numbers = values.compactMap { Int($0) }
            guard let low = numbers.min(), let high = numbers.max(), high - low + 1 == values.count else { return "*" }
            return "\(low)-\(high)"
        }.joined(separator: ".")
    }
}

extension LayerNames {
    /// Names as a sentence lists them: like layers together, the first few.
    package static func listed(_ names: [String], limit: Int = 3) -> String {
        var members: [String: [String]] = [:]
        var order: [String] = []
        for name in names {
            let pattern = pattern(of: name)
            if members[pattern] == nil { order.append(pattern) }
            members[pattern, default: []].append(name)
        }
        let texts = order.compactMap { members[$0].map(common) }
        let more = texts.count > limit ? " and \(texts.count - limit) more" : ""
        return texts.prefix(limit).joined(separator: ", ") + more
    }
}
