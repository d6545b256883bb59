import Checkpoints
import LosslessJSON
import OrderedCollections
import Reports
import SystemPackage
import Tensors

/// A conversion as its user wrote it: an input, steps, an output and reports.
public struct PipelineSpec: Sendable {
    /// The spec's file; relative paths are relative to its directory.
    public let file: FilePath
    /// Whether the spec was read from ``file``; it then must stay.
    var isStored = false
    public let input: FilePath
    public let steps: [any Stage]
    /// `nil` when only `save` steps write.
    public let output: OutputSpec?
    public let report: ReportSpec
    /// The spec with every default filled in, paths as written.
    public let normalized: JSONValue

    /// Reads and checks a spec.
    ///
    /// - Throws: ``SpecError`` naming the step, the key and what would be right; ``FileError`` when the file cannot be
    ///   read.
    public init(file: FilePath) throws {
        try self.init(text: PipelineSpec.text(of: file), file: file)
        isStored = true
    }

    /// The bytes of a spec's file.
    static func text(of file: FilePath) throws -> [UInt8] {
        let input = try InputFile(path: file)
        guard input.size <= PipelineSpec.maximumSize else {
            throw SpecError(
                file: file, place: nil, problem: "is \(input.size) bytes long, which is no spec",
                remedy: "give the JSON file that describes the conversion, not a model file")
        }
        return try input.bytes(0..<input.size)
    }

    /// Reads and checks a spec from the bytes of its JSON.
    ///
    /// - Parameter file: The spec's path, from which relative paths are resolved.
    public init(text: some Collection<UInt8>, file: FilePath) throws(SpecError) {
        do throws(SpecError) {
            let document = try PipelineSpec.document(text)
            guard document["batch"] == nil else {
                throw SpecError(
                    place: "batch", problem: "a spec with this section is converted once for each of its adapters",
                    remedy: "run it with \"qconv batch\"")
            }
            try self.init(document: document, file: file)
        } catch {
            throw error.located(in: file)
        }
    }

    static func document(_ text: some Collection<UInt8>) throws(SpecError) -> JSONValue {
        do {
            return try JSONValue(parsing: text)
        } catch {
            throw SpecError(place: nil, problem: "not valid JSON: \(error)")
        }
    }

    /// Checks a spec that has been parsed. Errors do not name the file.
    init(document: JSONValue, file: FilePath) throws(SpecError) {
        let directory = file.removingLastComponent()
        let members = try SpecObject(
            document, keys: PipelineSpec.keys, place: "spec", extraKeys: ["steps", "$schema"])
        guard let stepList = document["steps"]?.array else {
            throw SpecError(
                place: "spec", problem: "the key \"steps\" is missing or no list",
                remedy: "it must be a list of objects such as {\"op\": \"dequantize\"}")
        }
        var steps: [any Stage] = []
        var normalizedSteps: [JSONValue] = []
        for (index, step) in stepList.enumerated() {
            let (stage, normalized) = try StageRegistry.stage(from: step, number: index + 1, directory: directory)
            steps.append(stage)
            normalizedSteps.append(normalized)
        }
        self.file = file
        self.steps = steps
        input = directory.pushing(FilePath(try members.requiredString("input")))
        output = try members.values["output"].map { (value) throws(SpecError) in
            try OutputSpec(
                SpecObject(value, keys: OutputSpec.keys, place: "output"), directory: directory)
        }
        report = try ReportSpec(
            SpecObject(members.values["report"] ?? [:], keys: ReportSpec.keys, place: "report"), directory: directory)
        guard output != nil || steps.contains(where: { $0 is SaveStage }) else {
            throw SpecError(
                place: "spec", problem: "nothing would be written",
                remedy: "add \"output\": {\"path\": \"…\"} or a {\"op\": \"save\", \"path\": \"…\"} step")
        }
        var normalized: OrderedDictionary<String, JSONValue> = [:]
        normalized["input"] = members.values["input"]
        normalized["steps"] = .array(normalizedSteps)
        normalized["output"] = members.values["output"]
        normalized["report"] = members.values["report"]
        self.normalized = .object(normalized)
    }

    /// No spec that a person wrote is longer.
    private static let maximumSize = 16 << 20

    /// The keys beside `steps`, whose objects each have the keys of their own operation.
    static let keys: [SpecKey] = [
        SpecKey(
            "input", .string, required: true,
            "The model to convert: a Hugging Face directory, a .safetensors file or an NF4 container."),
        SpecKey("output", .object(OutputSpec.keys), "Where the result of the last step goes."),
        SpecKey("report", .object(ReportSpec.keys), "Where the report of every tensor's error goes."),
    ]
}

/// Where a model is written, and how.
public struct OutputSpec: Sendable {
    public let path: FilePath
    /// The path as it stands in the spec.
    public let pathInSpec: String
    /// `nil`: nf4 or patch when the path ends so; bitsandbytes when a tensor is 4-bit at that point; else safetensors.
    public let format: OutputFormat?
    /// The largest shard in bytes; `nil`: one file.
    public let maximumShardSize: Int?

    /// How a container is compressed; `nil`: as it is by default.
    public let compression: NF4ContainerWriter.Compression?

    /// Whether the path names one file rather than a directory.
    public var isSingleFile: Bool { format == .nf4 || path.extension == "safetensors" || isContainer }

    /// Whether the path says that it is to be a container.
    var isContainer: Bool { path.extension == OutputFormat.nf4.rawValue }

    /// Whether the path says that it is to be a patch.
    var isPatch: Bool { path.extension == PatchReader.pathExtension }

    static let keys: [SpecKey] = [
        SpecKey(
            "path", .string, required: true,
            "A directory to make, or a file whose name ends in .safetensors, .nf4 or .qpatch. Relative to the spec."),
        SpecKey(
            "format", .choice(OutputFormat.allCases.map(\.rawValue)),
            "safetensors (dense tensors only), bitsandbytes (4-bit tensors as transformers stores them) nf4 (one container file for everything, attached adapters included) or patch (one file with what differs from the input, of which qconv patch apply makes the whole model). Default: nf4 for a path that ends in .nf4, patch for .qpatch, else what the tensors need."
        ),
        SpecKey(
            "max_shard_size", .size,
            "The largest file, as in transformers: decimal units (\"5GB\", \"300MB\"), or MiB, GiB. Of a patch: of the model that it makes. Default: one file."
        ),
        SpecKey(
            "compression", .choice(NF4ContainerWriter.Compression.allCases.map(\.rawValue)),
            "Of a container: zlib (lossless and small), or none (aligned, for memory mapping). Default: zlib."),
    ]

    init(_ object: SpecObject, directory: FilePath) throws(SpecError) {
        pathInSpec = try object.requiredString("path")
        path = directory.pushing(FilePath(pathInSpec))
        format = object.string("format").flatMap(OutputFormat.init(rawValue:))
        maximumShardSize = try object.size("max_shard_size")
        compression = object.string("compression").flatMap(NF4ContainerWriter.Compression.init(rawValue:))
    }
}

/// The container a model is written in.
public enum OutputFormat: String, CaseIterable, Sendable {
    case safetensors
    case bitsandbytes
    case nf4
    case patch
}

/// Where reports go.
public struct ReportSpec: Sendable {
    /// What becomes of the outputs when a gate fails.
    public enum GateFailure: String, CaseIterable, Sendable {
        case discard
        case keep
    }

    public let json: FilePath?
    public let csv: FilePath?
    public let html: FilePath?
    /// Where files go.
    var paths: [FilePath] { [json, csv, html].compactMap(\.self) }

    /// The conditions on the report's figures, those of `fail_if` first.
    public let gates: [Gate]
    public let onFailure: GateFailure

    static let keys: [SpecKey] = [
        SpecKey("json", .string, "A JSON file (formats/report.schema.json). Relative to the spec."),
        SpecKey("csv", .string, "A CSV file, one row a tensor. Relative to the spec."),
        SpecKey("html", .string, "A page to look at: one HTML file without any other. Relative to the spec."),
        SpecKey(
            "require", .strings,
            "Conditions that every tensor with the figure must meet, such as \"update_kept >= 0.9\" or \"overall.relative_error < 5%\". When one fails, the exit status is 1 and the outputs are not put in place. formats/diff.md lists figures."
        ),
        SpecKey("fail_if", .strings, "Conditions that no tensor may meet, such as \"relative_error > 0.05\"."),
        SpecKey(
            "on_failure", .choice(GateFailure.allCases.map(\.rawValue)),
            "What becomes of the outputs when a gate fails: discard or keep. Default: discard."),
    ]

    init(_ object: SpecObject, directory: FilePath) throws(SpecError) {
        json = object.string("json").map { directory.pushing(FilePath($0)) }
        csv = object.string("csv").map { directory.pushing(FilePath($0)) }
        html = object.string("html").map { directory.pushing(FilePath($0)) }
        do throws(GateError) {
            gates =
                try ReportSpec.gates(object.strings("fail_if"), .failIf)
                + ReportSpec.gates(object.strings("require"), .require)
        } catch {
            throw SpecError(place: object.place, problem: error.description)
        }
        onFailure = object.string("on_failure").flatMap(GateFailure.init(rawValue:)) ?? .discard
        guard !gates.isEmpty || object.string("on_failure") == nil else {
            throw SpecError(
                place: object.place, problem: "\"on_failure\" is about gates, and there are none",
                remedy: "add \"require\" or \"fail_if\", or drop it")
        }
    }

    private static func gates(_ conditions: [String]?, _ sense: Gate.Sense) throws(GateError) -> [Gate] {
        var gates: [Gate] = []
        for condition in conditions ?? [] {
            gates.append(try ConversionReport.gate(parsing: condition, sense: sense))
        }
        return gates
    }
}
