import LosslessJSON
import Quantization
import Reports
import SystemPackage
import Tensors

/// What a part of a shared conversion leaves beside its shards: what it was made from, and its figures to the last bit.
struct PartRecord: Sendable {
    let toolVersion: String
    let part: Part
    let spec: JSONValue
    /// The files of the model and of the adapters.
    let inputs: [RecordedFile]
    let shards: [Shard]
    /// Of its tensors, by their index in the plan.
    let figures: [Int: TensorFigures]

    struct Shard: Hashable, Sendable {
        let name: String
        let size: Int
        let headerSHA256: String

        init(name: String, size: Int, headerSHA256: String) {
            self.name = name
            self.size = size
            self.headerSHA256 = headerSHA256
        }

        /// Looks at a shard that is written.
        init(name: String, in directory: FilePath) throws {
            let fingerprint = try Fingerprint.make(directory.appending(name), wholeFile: false)
            self.init(name: name, size: fingerprint.size, headerSHA256: fingerprint.headerSHA256)
        }
    }

    init(
        part: Part, spec: JSONValue, inputs: [RecordedFile], shards: [Shard], figures: [Int: TensorFigures]
    ) {
        toolVersion = qconvVersion
        self.part = part
        self.spec = spec
        self.inputs = inputs
        self.shards = shards
        self.figures = figures
    }

    /// Refuses a part of another conversion. Paths of inputs do not matter: machines may see them in other places.
    ///
    /// - Parameter path: The record, for messages.
    func check(spec: JSONValue, inputs: [RecordedFile], path: FilePath) throws(PartsError) {
        guard toolVersion == qconvVersion else {
            throw .unfit(path, "it was made by qconv \(toolVersion), and this is \(qconvVersion)")
        }
        guard self.spec == spec else { throw .unfit(path, "it was made by another spec") }
        guard self.inputs.count == inputs.count else { throw .unfit(path, "it was made from other files") }
        if let (_, changed) = zip(self.inputs, inputs).first(where: { !$0.isUnchanged($1) }) {
            throw .unfit(path, "\(changed.path) has changed since it was made")
        }
    }

    // MARK: - JSON

    private static let schema = "qconv-part-record"
    private static let schemaVersion = 1

    var json: JSONValue {
        [
            "schema": .string(PartRecord.schema), "schema_version": .int(PartRecord.schemaVersion),
            "qconv_version": .string(toolVersion), "part": .int(part.number), "parts": .int(part.count),
            "spec": spec, "inputs": .array(inputs.map(\.json)),
            "shards": .array(
                shards.map {
                    ["name": .string($0.name), "size": .int($0.size), "header_sha256": .string($0.headerSHA256)]
                }),
            "tensors": .array(
                figures.sorted { $0.key < $1.key }.map { index, figures in
                    ["index": .int(index), "figures": figures.json]
                }),
        ]
    }

    init(path: FilePath) throws {
        let file = try InputFile(path: path)
        guard let json = try? JSONValue(parsing: try file.bytes(0..<file.size)), let record = PartRecord(json) else {
            throw PartsError.unfit(path, "it is no record of a part")
        }
        self = record
    }

    private init?(_ json: JSONValue) {
        guard json["schema"]?.string == PartRecord.schema, json["schema_version"]?.int == PartRecord.schemaVersion,
            let version = json["qconv_version"]?.string, let number = json["part"]?.int,
            let count = json["parts"]?.int, count >= 1, (1...count).contains(number), let spec = json["spec"],
            let inputs = json["inputs"]?.array, let shards = json["shards"]?.array, let tensors = json["tensors"]?.array
        else { return nil }
        toolVersion = version
        part = Part(number: number, count: count)
        self.spec = spec
        self.inputs = inputs.compactMap(RecordedFile.init)
        self.shards = shards.compactMap { shard in
            guard let name = shard["name"]?.string, let size = shard["size"]?.int,
                let header = shard["header_sha256"]?.string
            else { return nil }
            return Shard(name: name, size: size, headerSHA256: header)
        }
        var figures: [Int: TensorFigures] = [:]
        for tensor in tensors {
            guard let index = tensor["index"]?.int, let known = tensor["figures"].flatMap(TensorFigures.init) else {
                return nil
            }
            figures[index] = known
        }
        self.figures = figures
        guard self.inputs.count == inputs.count, self.shards.count == shards.count else { return nil }
    }
}

extension TensorFigures {
    fileprivate var json: JSONValue {
        [
            "roundings": .array(
                roundings.map { rule in
                    switch rule {
                    case nil: .null
                    case .nearest?: "nearest"
                    case .stochastic?: "stochastic"
                    }
                }),
            "outputs": .array(
                emitted.sorted { $0.key < $1.key }.map { output, figures in
                    [
                        "output": .int(output), "tensor": .int(figures.tensor), "sums": figures.sums.json,
                        "changed_codes": figures.changedCodes.map { .int($0) } ?? .null,
                    ]
                }),
        ]
    }

    fileprivate init?(_ json: JSONValue) {
        guard let roundings = json["roundings"]?.array, let outputs = json["outputs"]?.array else { return nil }
        var emitted: [Int: EmittedFigures] = [:]
        for output in outputs {
            guard let index = output["output"]?.int, let tensor = output["tensor"]?.int,
                let sums = output["sums"].flatMap(ErrorSums.init)
            else { return nil }
            var figures = EmittedFigures(tensor: tensor)
            figures.sums = sums
            figures.changedCodes = output["changed_codes"]?.int
            emitted[index] = figures
        }
        self.init(
            emitted: emitted,
            roundings: roundings.map { rule in
                switch rule.string {
                case "nearest": .nearest
                // Which key it was does not show in a report.
                case "stochastic": .stochastic(StochasticKey(seed: 0, tensorName: ""))
                default: nil
                }
            })
    }
}

extension ErrorSums {
    private static let sums: [(String, WritableKeyPath<ErrorSums, Double> & Sendable)] = [
        ("squared_error", \.squaredError), ("squared_exact", \.squaredExact), ("squared_written", \.squaredWritten),
        ("written_dot_exact", \.writtenDotExact), ("squared_base", \.squaredBase),
        ("squared_update", \.squaredUpdate), ("change_dot_update", \.changeDotUpdate),
        ("max_abs_error", \.maxAbsError),
    ]
    private static let counts: [(String, WritableKeyPath<ErrorSums, Int> & Sendable)] = [
        ("count", \.count), ("nonfinite_exact", \.nonFiniteExact), ("nonfinite_written", \.nonFiniteWritten),
    ]

    /// Every bit counts: sums are written as the bits of a float64, in hexadecimal.
    fileprivate var json: JSONValue {
        var json: JSONValue = [:]
        for (key, path) in ErrorSums.counts { json[key] = .int(self[keyPath: path]) }
        for (key, path) in ErrorSums.sums { json[key] = .string(String(self[keyPath: path].bitPattern, radix: 16)) }
        return json
    }

    fileprivate init?(_ json: JSONValue) {
        self.init()
        for (key, path) in ErrorSums.counts {
            guard let count = json[key]?.int else { return nil }
            self[keyPath: path] = count
        }
        for (key, path) in ErrorSums.sums {
            guard let bits = json[key]?.string.flatMap({ UInt64($0, radix: 16) }) else { return nil }
            self[keyPath: path] = Double(bitPattern: bits)
        }
    }
}
