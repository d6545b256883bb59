import Tensors

/// Where a parameter's values are in a checkpoint.
enum ParameterPlace: Hashable {
    /// A tensor of the parameter's name: [experts, …, …] or a matrix.
    case whole(tensor: Int, shape: [Int])
    /// A matrix for each expert and each part of the parameter's rows; the model fuses them when it is loaded.
    case split(parts: [Part], shape: [Int])

    struct Part: Hashable {
        let tensor: Int
        let expert: Int
        /// The rows of the fused matrix.
        let rows: Range<Int>
    }

    /// The parameter's shape in the model.
    var shape: [Int] {
        switch self {
        case .whole(_, let shape), .split(_, let shape): shape
        }
    }
}

/// Finds parameters among a checkpoint's tensors.
struct ParameterPlaces {
    /// The modules whose rows transformers concatenates to a parameter of fused experts, under the names that
    /// architectures have for them (its `conversion_mapping.py`).
    private static let parts: [String: [[String]]] = [
        "gate_up_proj": [["gate_proj", "up_proj"], ["w1", "w3"]],
        "up_proj": [["up_proj"]],
        "down_proj": [["down_proj"], ["w2"]],
    ]

    private let tensors: [LogicalTensor]
    private let indices: [String: Int]

    init(_ tensors: [LogicalTensor], indices: [String: Int]) {
        self.tensors = tensors
        self.indices = indices
    }

    /// The place of a parameter; `nil` when the checkpoint does not have it.
    func place(of parameter: String, on owner: String) -> ParameterPlace? {
        if let tensor = indices[parameter] { return .whole(tensor: tensor, shape: tensors[tensor].shape) }
        let leaf = String(parameter.dropFirst(owner.count + 1))
        guard owner == "experts" || owner.hasSuffix(".experts") else { return nil }
        for module in [owner, owner.replacingEnd("mlp.experts", with: "block_sparse_moe.experts")].compactMap({ $0 }) {
            for names in ParameterPlaces.parts[leaf] ?? [] {
                if let place = split(module, names) { return place }
            }
        }
        return nil
    }

    private func split(_ module: String, _ names: [String]) -> ParameterPlace? {
        var parts: [ParameterPlace.Part] = []
        var rows = 0
        var columns: Int?
        var expert = 0
        while indices["\(module).\(expert).\(names[0]).weight"] != nil {
            var row = 0
            for name in names {
                guard let tensor = indices["\(module).\(expert).\(name).weight"], tensors[tensor].shape.count == 2,
                    columns == nil || columns == tensors[tensor].shape[1]
                else { return nil }
                columns = tensors[tensor].shape[1]
                parts.append(.init(tensor: tensor, expert: expert, rows: row..<row + tensors[tensor].shape[0]))
                row += tensors[tensor].shape[0]
            }
            guard expert == 0 || row == rows else { return nil }
            rows = row
            expert += 1
        }
        guard let columns else { return nil }
        return .split(parts: parts, shape: [expert, rows, columns])
    }
}

extension String {
    /// The path with other last components; `nil` when it does not end so.
    fileprivate func replacingEnd(_ end: String, with other: String) -> String? {
        guard self == end || hasSuffix("." + end) else { return nil }
        return dropLast(end.count) + other
    }
}
