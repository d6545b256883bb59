/// `layer_replication`: the layers that a model has once an adapter is attached, each a copy of one of the base's.
///
/// PEFT lets the copies share weights, and its `merge_and_unload` would add the updates of all copies to each; here every
/// copy is a tensor of its own, which is what the unmerged model computes.
public struct LayerReplication: Sendable {
    /// More copies than any model has layers: a list of such a length is a mistake.
    private static let limit = 10_000

    /// For each new layer the base's layer that it is a copy of.
    public let sources: [Int]

    /// - Parameter ranges: The base's layers, one range after the other; not empty.
    public init(_ ranges: [Range<Int>]) throws(LayerReplicationError) {
        var count = 0
        for range in ranges {
            // A range may be as long as Int.max: it is compared to what is left, not added.
            guard range.count <= LayerReplication.limit - count else {
                throw .tooManyLayers(limit: LayerReplication.limit)
            }
            count += range.count
        }
        sources = ranges.flatMap { Array($0) }
    }

    /// The tensors of the model with its layers replicated: those of no layer, then the layers'.
    ///
    /// - Parameter names: The tensors of the base.
    /// - Returns: For each tensor its name, and the index of the base's tensor that it is a copy of.
    /// - Throws: ``LayerReplicationError`` when the names show no layers, or too few.
    public func applied(to names: [String]) throws(LayerReplicationError) -> [(name: String, source: Int)] {
        let named = names.map { LayerName($0) }
        // PEFT goes down through `model` as far as it can.
        guard let prefix = named.compactMap({ $0?.prefix }).max(by: { $0.utf8.count < $1.utf8.count }) else {
            throw .noLayers
        }
        var layers: [Int: [(rest: Substring, source: Int)]] = [:]
        var replicated: [(name: String, source: Int)] = []
        for (index, name) in named.enumerated() {
            if let name, name.prefix == prefix {
                layers[name.index, default: []].append((name.rest, index))
            } else {
                replicated.append((names[index], index))
            }
        }
        for (index, source) in sources.enumerated() {
            guard let layer = layers[source] else {
                throw .noSuchLayer(source, prefix: String(prefix), count: layers.count)
            }
            replicated += layer.map { ("\(prefix)\(index)\($0.rest)", $0.source) }
        }
        return replicated
    }
}

/// The name of a tensor that belongs to a layer: `model.layers.`, 3, `.mlp.up_proj.weight`.
private struct LayerName {
    let prefix: Substring
    let index: Int
    let rest: Substring

    /// The lists that PEFT's `replicate_layers` looks for: `layers`, `encoder.layer` (maybe in `bert`), or `h`, in any number
    /// of `model`.
    init?(_ name: String) {
        let lists = /(?<prefix>(?:model\.)*(?:layers|(?:bert\.)?encoder\.layer|h)\.)(?<index>\d+)(?<rest>\..+)/
        guard let match = try? lists.wholeMatch(in: name), let index = Int(match.index) else { return nil }
        prefix = match.prefix
        self.index = index
        rest = match.rest
    }
}

/// Why an adapter's `layer_replication` cannot be done.
public enum LayerReplicationError: Error, Hashable, Sendable {
    case tooManyLayers(limit: Int)
    /// No tensor belongs to a layer that PEFT would find.
    case noLayers
    case noSuchLayer(Int, prefix: String, count: Int)
    /// A step before has changed the model, or has attached another adapter to it.
    case modelHasChanged
}

extension LayerReplicationError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .tooManyLayers(let limit):
            "layer_replication in adapter_config.json makes more than \(limit) layers; that is no model"
        case .noLayers:
            "layer_replication in adapter_config.json copies layers, and the model has none named model.layers.0.…, encoder.layer.0.… or h.0.…, where PEFT looks for them"
        case .noSuchLayer(let layer, let prefix, let count):
            "layer_replication in adapter_config.json copies layer \(layer), and the model has \(count) (\(prefix)0.… and on)"
        case .modelHasChanged:
            "layer_replication in adapter_config.json changes which layers there are, so this adapter must be the first to be attached, before any other step"
        }
    }
}
