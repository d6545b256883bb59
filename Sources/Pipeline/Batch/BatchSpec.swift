import LosslessJSON
import OrderedCollections
import SystemPackage

/// A conversion for many adapters: a pipeline spec that leaves the adapter open, and where the adapters are.
///
/// The texts of its steps, `output` and `report` may have the fields of ``PathTemplate``; filled in for an adapter it is an
/// ordinary spec.
public struct BatchSpec: Sendable {
    /// The spec's file; relative paths are relative to its directory.
    public let file: FilePath
    /// Whether the spec was read from ``file``; it then must stay.
    private var isStored = false
    /// The adapters in the order of the batch.
    public let adapters: [BatchAdapter]
    /// Where the report on the whole batch goes.
    public let report: BatchReportSpec
    /// What becomes of the batch when an adapter cannot work.
    public let keepGoing: Bool
    /// The spec of one conversion, with fields.
    private let template: JSONValue

    /// What stands on the command line instead of in the spec. Paths are relative to the working directory.
    public struct Overrides: Sendable {
        /// Patterns of adapters; empty: those of the spec.
        public var adapters: [String] = []
        public var output: String?
        /// Paths of reports on the whole batch, which end in `.json`, `.csv` or `.html`; empty: those of the spec.
        public var reports: [String] = []
        public var keepGoing = false

        public init() {}
    }

    /// Reads a spec and looks for its adapters.
    ///
    /// - Throws: ``SpecError``; ``Tensors/FileError`` when the file cannot be read.
    public init(file: FilePath, overrides: Overrides = Overrides()) throws {
        try self.init(text: PipelineSpec.text(of: file), file: file, overrides: overrides)
        isStored = true
    }

    /// Reads a spec from the bytes of its JSON and looks for its adapters.
    public init(text: some Collection<UInt8>, file: FilePath, overrides: Overrides = Overrides()) throws(SpecError) {
        do throws(SpecError) {
            try self.init(document: PipelineSpec.document(text), file: file, overrides: overrides)
        } catch {
            throw error.located(in: file)
        }
    }

    private init(document: JSONValue, file: FilePath, overrides: Overrides) throws(SpecError) {
        guard var members = document.object else {
            throw SpecError(place: "spec", problem: "must be an object, not \(document.kind)")
        }
        let directory = file.removingLastComponent()
        let section = try SpecObject(members.removeValue(forKey: "batch") ?? [:], keys: BatchSpec.keys, place: "batch")
        /// Paths of the command line, as the spec would have them.
        func relative(_ path: String) -> String { BatchSpec.path(path, fromWorkingDirectoryTo: directory) }

        if let path = overrides.output {
            var output = members["output"]?.object ?? [:]
            output["path"] = .string(relative(path))
            members["output"] = .object(output)
        }
        let patterns = overrides.adapters.isEmpty ? section.strings("adapters") ?? [] : overrides.adapters.map(relative)
        guard !patterns.isEmpty else {
            throw SpecError(
                place: "batch", problem: "no adapters are given",
                remedy: "add \"batch\": {\"adapters\": [\"runs/*/checkpoint-*\"]}, or --adapters")
        }
        let template = JSONValue.object(members)
        try BatchSpec.requireOpenAdapter(template)
        self.file = file
        self.template = template
        adapters = try AdapterSearch.adapters(patterns, in: directory)
        report = try BatchReportSpec(
            section.values["report"], overrides: overrides.reports.map(relative), directory: directory)
        keepGoing = overrides.keepGoing || section.bool("keep_going") ?? false
    }

    /// Whether a spec has a section about a batch.
    ///
    /// - Throws: ``SpecError``; ``Tensors/FileError`` when the file cannot be read.
    public static func isBatch(_ file: FilePath) throws -> Bool {
        let text = try PipelineSpec.text(of: file)
        do throws(SpecError) {
            return try PipelineSpec.document(text)["batch"] != nil
        } catch {
            throw error.located(in: file)
        }
    }

    /// The ordinary spec that the batch is for one adapter.
    ///
    /// - Throws: ``SpecError``, which is the same for every adapter.
    public func spec(for adapter: BatchAdapter) throws(SpecError) -> PipelineSpec {
        do throws(SpecError) {
            var spec = try PipelineSpec(document: document(for: adapter), file: file)
            spec.isStored = isStored
            return spec
        } catch {
            throw error.located(in: file)
        }
    }

    /// The JSON of that spec.
    public func document(for adapter: BatchAdapter) throws(SpecError) -> JSONValue {
        var document = template
        if let steps = template["steps"]?.array {
            var filled: [JSONValue] = []
            for (index, step) in steps.enumerated() {
                filled.append(try BatchSpec.fill(step, for: adapter, place: BatchSpec.place(index, step)))
            }
            document["steps"] = .array(filled)
        }
        for key in ["output", "report"] {
            if let section = template[key] { document[key] = try BatchSpec.fill(section, for: adapter, place: key) }
        }
        return document
    }

    // MARK: - Fields

    /// Fills in the texts of an object, also those in lists of objects: the adapters that are combined.
    private static func fill(
        _ object: JSONValue, for adapter: BatchAdapter, place: String
    ) throws(SpecError) -> JSONValue {
        guard let members = object.object else { return object }
        var filled = members
        for (key, value) in members {
            if let text = value.string {
                filled[key] = .string(try PathTemplate(text, place: place).filled(for: adapter))
            } else if let elements = value.array {
                var filledElements: [JSONValue] = []
                for element in elements { filledElements.append(try fill(element, for: adapter, place: place)) }
                filled[key] = .array(filledElements)
            }
        }
        return .object(filled)
    }

    /// A batch whose conversions all attach the same would be none.
    private static func requireOpenAdapter(_ template: JSONValue) throws(SpecError) {
        for (index, step) in (template["steps"]?.array ?? []).enumerated() {
            guard step["op"]?.string == AttachAdapterStage.op else { continue }
            for adapter in [step] + (step["adapters"]?.array ?? []) {
                guard let path = adapter["path"]?.string else { continue }
                let pathTemplate = try PathTemplate(path, place: place(index, step))
                if PathTemplate.Field.allCases.contains(where: pathTemplate.has) { return }
            }
        }
        throw SpecError(
            place: "spec", problem: "no step attaches the adapters of the batch",
            remedy: "put {\"op\": \"attach-adapter\", \"path\": \"{adapter}\"} before the merge")
    }

    private static func place(_ index: Int, _ step: JSONValue) -> String {
        StageRegistry.place(index + 1, step["op"]?.string ?? "?")
    }

    /// A path that is relative to the working directory as one that is relative to the spec's: itself where that is the
    /// same, else an absolute one.
    private static func path(_ path: String, fromWorkingDirectoryTo directory: FilePath) -> String {
        let normalized = directory.lexicallyNormalized()
        guard FilePath(path).isRelative, !normalized.isEmpty, normalized != "." else { return path }
        return WorkingDirectory.path.pushing(FilePath(path)).lexicallyNormalized().string
    }

    // MARK: - Keys

    static let key = SpecKey(
        "batch", .object(keys),
        "For \"qconv batch\": the adapters that the spec is run for. Its steps, output and report may then have the fields {adapter}, {name}, {parent} and {index}."
    )

    private static let keys: [SpecKey] = [
        SpecKey(
            "adapters", .strings,
            "Paths of adapters, with * and ? as in a shell: \"runs/*/checkpoint-*\". Relative to the spec."),
        SpecKey("report", .object(BatchReportSpec.keys), "Where the report that compares all adapters goes."),
        SpecKey(
            "keep_going", .boolean, default: false,
            "Whether to leave out adapters that cannot work; otherwise nothing is started."),
    ]
}

/// Where the report on a batch goes.
public struct BatchReportSpec: Sendable {
    public let json: FilePath?
    public let csv: FilePath?
    public let html: FilePath?

    static let keys: [SpecKey] = [
        SpecKey("json", .string, "A JSON file (formats/batch-report.schema.json). Relative to the spec."),
        SpecKey("csv", .string, "A CSV file, one row an output. Relative to the spec."),
        SpecKey("html", .string, "A page to look at: one HTML file without any other. Relative to the spec."),
    ]

    /// - Parameter overrides: Paths relative to the spec; empty: those of the section.
    fileprivate init(_ section: JSONValue?, overrides: [String], directory: FilePath) throws(SpecError) {
        var paths: [String: FilePath] = [:]
        for key in BatchReportSpec.keys.map(\.name) {
            paths[key] = (section?[key]?.string).map { directory.pushing(FilePath($0)) }
        }
        if !overrides.isEmpty { paths = [:] }
        for path in overrides {
            let file = directory.pushing(FilePath(path))
            guard let kind = file.extension, BatchReportSpec.keys.contains(where: { $0.name == kind }) else {
                throw SpecError(
                    place: "--report", problem: "the name of \(file) does not say what to write",
                    remedy: "let it end in .json, .csv or .html")
            }
            paths[kind] = file
        }
        json = paths["json"]
        csv = paths["csv"]
        html = paths["html"]
    }

    /// Where files go.
    var paths: [FilePath] { [json, csv, html].compactMap(\.self) }
}
