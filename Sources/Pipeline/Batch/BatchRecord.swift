import Checkpoints
import LosslessJSON
import Reports
import SystemPackage
import Tensors

/// What a batch remembers of one adapter: what is being converted from what, and, when it is done, what came of it.
///
/// The next run recognizes by it what it need not do again (formats/batch.md). It says that an output is whole only after
/// that stands in its place.
public struct BatchRecord: Sendable {
    enum State: String, Sendable {
        /// A run has begun to convert: what stands where the outputs go may be older, or new.
        case converting
        /// A gate refused the outputs; reports are in place.
        case discarded
        /// Outputs and reports are in place.
        case done
    }

    let state: State
    let toolVersion: String
    /// The spec of the one conversion, with every default filled in.
    let spec: JSONValue
    let inputs: [RecordedFile]
    /// What was written; empty until it is.
    let outputs: [RecordedOutput]
    /// What the conversion's report said about the outputs.
    let figures: [BatchFigures]
    /// The gates that failed although the outputs are in place, as a person reads it; `nil` when none did.
    let failedGates: String?

    /// A record of a conversion that is about to begin.
    init(spec: JSONValue, inputs: [RecordedFile]) {
        self.init(
            state: .converting, toolVersion: qconvVersion, spec: spec, inputs: inputs, outputs: [], figures: [],
            failedGates: nil)
    }

    private init(
        state: State, toolVersion: String, spec: JSONValue, inputs: [RecordedFile], outputs: [RecordedOutput],
        figures: [BatchFigures], failedGates: String?
    ) {
        self.state = state
        self.toolVersion = toolVersion
        self.spec = spec
        self.inputs = inputs
        self.outputs = outputs
        self.figures = figures
        self.failedGates = failedGates
    }

    /// The record of the same conversion when its outputs are in place.
    func done(outputs: [RecordedOutput], figures: [BatchFigures], failedGates: String?) -> BatchRecord {
        BatchRecord(
            state: .done, toolVersion: toolVersion, spec: spec, inputs: inputs, outputs: outputs, figures: figures,
            failedGates: failedGates)
    }

    /// The record of the same conversion when a gate has refused its outputs.
    func discarded(figures: [BatchFigures], failedGates: String?) -> BatchRecord {
        BatchRecord(
            state: .discarded, toolVersion: toolVersion, spec: spec, inputs: inputs,
            outputs: figures.map { _ in RecordedOutput(files: []) }, figures: figures, failedGates: failedGates)
    }

    /// Whether a gate has refused the outputs of the same conversion.
    func isDiscarded(_ next: BatchRecord) -> Bool { state == .discarded && isMade(like: next) }

    private func isMade(like next: BatchRecord) -> Bool {
        toolVersion == next.toolVersion && spec == next.spec && inputs.count == next.inputs.count
            && zip(inputs, next.inputs).allSatisfy { $0.isUnchanged($1) }
    }

    /// Whether this is the record of a conversion that need not be done again.
    ///
    /// - Parameters:
    ///   - next: The record of the conversion that would be done.
    ///   - plan: Its plan.
    func isCurrent(_ next: BatchRecord, _ plan: PipelinePlan) -> Bool { objection(next, plan) == nil }

    /// Why the conversion must be done again, in words; `nil` when it need not. Parameters as of ``isCurrent(_:_:)``.
    func objection(_ next: BatchRecord, _ plan: PipelinePlan) -> String? {
        if state == .converting { return "a run has begun with it and not come to its end" }
        if toolVersion != next.toolVersion { return "it was converted by qconv \(toolVersion)" }
        if spec != next.spec { return "it was converted by another spec" }
        if inputs.count != next.inputs.count { return "it was converted from other files" }
        if let (_, changed) = zip(inputs, next.inputs).first(where: { !$0.isUnchanged($1) }) {
            return "\(changed.path) has changed since it was converted"
        }
        if state == .discarded { return "a gate refused its outputs" }
        guard outputs.count == plan.model.outputs.count else { return "its record does not tell of all outputs" }
        if let (_, changed) = zip(outputs, plan.model.outputs).first(where: { !$0.isIntact(at: $1.spec.path) }) {
            return "\(changed.spec.path) is missing or not what was written"
        }
        return plan.spec.report.paths.first { FileSystem.kind(of: $0) != .file }.map { "its report \($0) is missing" }
    }

    /// Whether everything that stands where a plan would write is what this record's conversion was to write.
    func covers(_ plan: PipelinePlan) -> Bool {
        guard let own = try? PipelineSpec(document: spec, file: plan.spec.file) else { return false }
        let written = Set(own.destinations.map { $0.used.path.lexicallyNormalized() })
        return plan.spec.destinations.allSatisfy {
            FileSystem.kind(of: $0.used.path, followingLinks: false) == nil
                || written.contains($0.used.path.lexicallyNormalized())
        }
    }
}

/// The files of an output.
struct RecordedOutput: Sendable {
    let files: [RecordedFile]

    init(files: [RecordedFile]) {
        self.files = files
    }

    /// Looks at an output that is in place.
    init(at path: FilePath) throws {
        files = try RecordedOutput.names(in: path).map { name in
            let file = path.appending(name.components)
            guard RecordedFile.isWeights(file) else {
                let (size, sha256) = try Fingerprint.whole(file)
                return RecordedFile(path: name.string, size: size, headerSHA256: nil, sha256: sha256, modified: nil)
            }
            let fingerprint = try Fingerprint.make(file, wholeFile: false)
            return RecordedFile(
                path: name.string, size: fingerprint.size, headerSHA256: fingerprint.headerSHA256, sha256: nil,
                modified: nil)
        }
    }

    var bytes: Int { files.reduce(0) { $0 + $1.size } }

    /// Whether the same files stand there, as far as sizes, headers and small files tell.
    func isIntact(at path: FilePath) -> Bool {
        guard let found = try? RecordedOutput(at: path) else { return false }
        return found.files == files
    }

    /// The files of a directory and of those in it; the empty name for a file.
    private static func names(in path: FilePath) throws(FileError) -> [FilePath] {
        guard FileSystem.kind(of: path) == .directory else { return [""] }
        var names: [FilePath] = []
        for name in try FileSystem.names(in: path) {
            for inner in try RecordedOutput.names(in: path.appending(name)) {
                names.append(FilePath(name).appending(inner.components))
            }
        }
        return names
    }
}

// MARK: - JSON

extension BatchRecord {
    private static let schema = "qconv-batch-record"
    private static let schemaVersion = 1

    var json: JSONValue {
        var json: JSONValue = [
            "schema": .string(BatchRecord.schema), "schema_version": .int(BatchRecord.schemaVersion),
            "state": .string(state.rawValue), "qconv_version": .string(toolVersion), "spec": spec,
            "inputs": .array(inputs.map(\.json)),
            "outputs": .array(
                zip(outputs, figures).map { output, figures in
                    ["files": .array(output.files.map(\.json)), "figures": figures.json]
                }),
        ]
        if let failedGates { json["failed_gates"] = .string(failedGates) }
        return json
    }

    /// `nil` for what is no record that this version knows: then nothing is known.
    init?(_ json: JSONValue) {
        guard json["schema"]?.string == BatchRecord.schema,
            json["schema_version"]?.int == BatchRecord.schemaVersion,
            let state = json["state"]?.string.flatMap(State.init(rawValue:)),
            let version = json["qconv_version"]?.string, let spec = json["spec"],
            let inputs = json["inputs"]?.array?.map(RecordedFile.init), let outputs = json["outputs"]?.array
        else { return nil }
        let files = outputs.map { $0["files"]?.array?.compactMap(RecordedFile.init) ?? [] }
        let figures = outputs.compactMap { $0["figures"].flatMap(BatchFigures.init) }
        guard figures.count == outputs.count else { return nil }
        self.init(
            state: state, toolVersion: version, spec: spec, inputs: inputs.compactMap(\.self),
            outputs: files.map(RecordedOutput.init(files:)), figures: figures,
            failedGates: json["failed_gates"]?.string)
    }
}
