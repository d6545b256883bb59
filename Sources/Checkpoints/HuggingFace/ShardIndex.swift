import LosslessJSON
import OrderedCollections
import SystemPackage
import Tensors

/// Every way in which the index of a checkpoint's shards can be wrong.
public enum ShardIndexProblem: Error, Hashable, Sendable {
    case tooLarge(byteCount: Int)
    case invalidJSON(JSONParseError)
    /// `weight_map` is missing, empty or does not map strings to strings.
    case invalidWeightMap(found: String)
    /// A shard outside the index's directory.
    case escapes(shard: String)
    case missingShards([String])
    case tensorNotInShard(name: String, shard: String, foundIn: String?)
    case tensorNotInIndex(name: String, shard: String)
    case duplicateTensor(name: String, shards: [String])
    case equivalentNames(EquivalentNames, shards: [String])
}

extension ShardIndexProblem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .tooLarge(let byteCount): "has \(byteCount) bytes; that is no shard index"
        case .invalidJSON(let error): "is not valid JSON: \(error)"
        case .invalidWeightMap(let found):
            "\"weight_map\" must map tensor names to file names, found \(found)"
        case .escapes(let shard):
            "names the shard \"\(shard)\", which lies outside its directory; shards stand beside their index"
        case .missingShards(let shards):
            """
            the shard\(shards.count == 1 ? "" : "s") \(shards.joined(separator: ", ")) that it names \
            \(shards.count == 1 ? "is" : "are") missing; was the model downloaded completely?
            """
        case .tensorNotInShard(let name, let shard, let foundIn):
            "says that \"\(name)\" is in \(shard), "
                + (foundIn.map { "but it is in \($0)" } ?? "but it is in no shard")
        case .tensorNotInIndex(let name, let shard): "does not name the tensor \"\(name)\", which is in \(shard)"
        case .duplicateTensor(let name, let shards):
            "the tensor \"\(name)\" is in several shards: \(shards.joined(separator: ", "))"
        case .equivalentNames(let names, let shards):
            "the names of tensors in \(shards.joined(separator: " and ")) \(names)"
        }
    }
}

/// `model.safetensors.index.json` or `pytorch_model.bin.index.json`: which tensor is in which shard. Its
/// `metadata.total_size` is not believed.
struct ShardIndex {
    let path: FilePath
    /// Tensor name to shard name.
    private let weightMap: OrderedDictionary<String, String>

    private static let maximumByteCount = 256 << 20

    init(path: FilePath) throws {
        self.path = path
        let file = try InputFile(path: path)
        do {
            weightMap = try ShardIndex.parse(file)
        } catch let problem as ShardIndexProblem {
            throw CheckpointError.invalidIndex(file: path, problem: problem)
        }
    }

    private static func parse(_ file: InputFile) throws -> OrderedDictionary<String, String> {
        guard file.size <= maximumByteCount else { throw ShardIndexProblem.tooLarge(byteCount: file.size) }
        let bytes = try file.bytes(0..<file.size)
        let json: JSONValue
        do throws(JSONParseError) {
            json = try JSONValue(parsing: bytes, maximumDepth: 32)
        } catch {
            throw ShardIndexProblem.invalidJSON(error)
        }
        guard let weightMap = json["weight_map"] else { throw ShardIndexProblem.invalidWeightMap(found: "none") }
        guard let members = weightMap.object, !members.isEmpty else {
            throw ShardIndexProblem.invalidWeightMap(
                found: weightMap.object == nil ? weightMap.kind : "an empty object")
        }
        return try members.mapValues { value in
            guard let shard = value.string else { throw ShardIndexProblem.invalidWeightMap(found: value.kind) }
            guard staysInside(shard) else { throw ShardIndexProblem.escapes(shard: shard) }
            return shard
        }
    }

    private static func staysInside(_ shard: String) -> Bool {
        let path = FilePath(shard)
        return path.isRelative && !path.components.isEmpty && path.components.allSatisfy { $0.kind == .regular }
            && !shard.utf8.contains(0)
    }

    /// Opens all shards, ordered by name, and checks that they hold what the index says and nothing else.
    func openShards(_ format: WeightsFormat) throws -> [any WeightsFile] {
        do {
            let names = Set(weightMap.values).sorted { $0.precedesByBytes($1) }
            let directory = path.removingLastComponent()
            let paths = names.map { directory.appending(FilePath($0).components) }
            let missing = zip(names, paths).filter { FileSystem.kind(of: $0.1) == nil }.map(\.0)
            guard missing.isEmpty else { throw ShardIndexProblem.missingShards(missing) }
            let shards = try paths.map(format.open)
            try check(names: names, shards)
            return shards
        } catch let problem as ShardIndexProblem {
            throw CheckpointError.invalidIndex(file: path, problem: problem)
        }
    }

    private func check(names: [String], _ shards: [any WeightsFile]) throws(ShardIndexProblem) {
        var found: [String: (shard: String, name: String)] = [:]
        for (shardName, shard) in zip(names, shards) {
            for entry in shard.contents {
                if let other = found.updateValue((shardName, entry.name), forKey: entry.name) {
                    let shards = [other.shard, shardName]
                    throw EquivalentNames(other.name, entry.name).map { .equivalentNames($0, shards: shards) }
                        ?? .duplicateTensor(name: entry.name, shards: shards)
                }
                guard weightMap[entry.name] != nil else {
                    throw .tensorNotInIndex(name: entry.name, shard: shardName)
                }
            }
        }
        for (name, shard) in weightMap where found[name]?.shard != shard {
            throw .tensorNotInShard(name: name, shard: shard, foundIn: found[name]?.shard)
        }
    }
}
