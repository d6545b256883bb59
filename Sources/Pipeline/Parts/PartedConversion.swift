import Checkpoints
import Reports
import SystemPackage
import Tensors

/// The conversion of one model by several processes: each writes whole shards, and at last they are put together.
///
/// Until then everything lies in `.NAME.qconv-parts` beside the destination.
public struct PartedConversion: Sendable {
    private let plan: PipelinePlan
    private let options: PipelineOptions
    private let output: PlannedOutput
    private let assembly: ShardAssembly

    /// Plans the whole conversion.
    ///
    /// - Throws: ``PlanError`` when it has no shards to share, and the errors of ``PipelinePlan``.
    public init(spec: PipelineSpec, options: PipelineOptions) throws {
        plan = try PipelinePlan(opening: spec, options: options)
        self.options = options
        guard plan.model.outputs.count == 1, let output = plan.model.outputs.first else {
            throw PlanError(
                place: "--part",
                problem: "a shared conversion has one output, and this has \(plan.model.outputs.count)",
                remedy: "run the others separately")
        }
        guard output.format == .safetensors || output.format == .bitsandbytes,
            let shardSize = output.spec.maximumShardSize
        else {
            throw PlanError(
                place: "--part", problem: "each part writes whole shards, and the output is one file",
                remedy: "give a directory and \"max_shard_size\", such as \"5GB\"")
        }
        try plan.checkDestinations()
        self.output = output
        assembly = try ShardAssembly(
            tensors: output.tensors, metadata: plan.model.input.reader.metadata, maximumShardSize: shardSize)
    }

    private var directory: FilePath {
        let path = output.spec.path
        return path.removingLastComponent().appending(".\(path.lastComponent?.string ?? "out").qconv-parts")
    }

    private func shardDirectory(_ part: Part) -> FilePath { directory.appending("\(part.number)-of-\(part.count)") }
    private func recordPath(_ part: Part) -> FilePath {
        directory.appending("\(part.number)-of-\(part.count).json")
    }

    /// What each part says it was made from.
    private func recordedInputs(_ known: KnownFingerprints = KnownFingerprints()) throws -> [RecordedFile] {
        try RecordedFile.all(
            of: plan, base: RecordedFile.all(of: plan.model.input, wholeFiles: options.hashFiles, known: known))
    }

    // MARK: - One part

    /// Converts a part's share of the shards.
    ///
    /// - Returns: The names of the shards that it has written.
    /// - Throws: The error of the first thing that went wrong; then nothing of this part is left behind.
    public func convert(
        _ part: Part, isCancelled: @escaping @Sendable () -> Bool = { false },
        progress: @escaping @Sendable (PipelineExecutor.Progress) -> Void = { _ in }
    ) throws -> [String] {
        // What an earlier run has left says nothing about this one.
        try StagedFile.remove(recordPath(part))
        let shards = part.share(of: assembly.byteCounts)
        // Before they are read: a file that changes meanwhile shows.
        let inputs = try recordedInputs()
        var figures: [Int: TensorFigures] = [:]
        if !shards.isEmpty {
            let writer = try SafetensorsCheckpointWriter(
                destination: shardDirectory(part), tensors: output.tensors,
                metadata: plan.model.input.reader.metadata, maximumShardSize: output.spec.maximumShardSize,
                force: true, shards: shards)
            do {
                let pass = try PassPlan(
                    plan, tensors: assembly.tensors(inShards: shards), options: options)
                figures = try PipelineExecutor(
                    pass: pass, options: options, isCancelled: isCancelled, progress: progress
                ).convert(into: writer)
            } catch {
                writer.abandon()
                throw error
            }
        }
        let names = Array(assembly.fileNames[shards])
        let record = try PartRecord(
            part: part, spec: plan.spec.normalized, inputs: inputs,
            shards: names.map { try PartRecord.Shard(name: $0, in: shardDirectory(part)) }, figures: figures)
        try StagedFile.write((record.json.serialized(.pretty) + "\n").utf8, to: recordPath(part))
        return names
    }

    // MARK: - All parts

    /// Checks that all parts are there, puts the output and the reports in place, and removes the parts.
    ///
    /// - Parameter count: How many parts there are; `nil` to go by what is there.
    /// - Returns: The report that a single run would have made, without its run facts.
    /// - Throws: ``PartsError`` naming what is missing or does not fit.
    public func finish(count: Int? = nil) throws -> ConversionReport {
        let count = try count ?? countFound()
        let known = KnownFingerprints()
        let inputs = try recordedInputs(known)
        var paths: [FilePath] = []
        var figures: [Int: TensorFigures] = [:]
        let parts = (1...count).map { Part(number: $0, count: count) }
        let missing = parts.filter { FileSystem.kind(of: recordPath($0)) != .file }
        guard missing.isEmpty else { throw PartsError.missing(missing, of: output.spec.path) }
        for part in parts {
            let record = try PartRecord(path: recordPath(part))
            try record.check(spec: plan.spec.normalized, inputs: inputs, path: recordPath(part))
            let names = Array(assembly.fileNames[part.share(of: assembly.byteCounts)])
            guard record.shards.map(\.name) == names else {
                throw PartsError.unfit(recordPath(part), "it has other shards than this version would give it")
            }
            for shard in record.shards {
                let path = shardDirectory(part).appending(shard.name)
                guard try PartRecord.Shard(name: shard.name, in: shardDirectory(part)) == shard else {
                    throw PartsError.unfit(path, "it is not the file that the part has written")
                }
                paths.append(path)
            }
            figures.merge(record.figures) { $1 }
        }
        guard figures.count == plan.model.tensors.count else {
            throw PartsError.unfit(
                directory, "the parts have figures of \(figures.count) of \(plan.model.tensors.count) tensors")
        }
        var report = ReportBuilder(
            plan: plan, figures: figures.sorted { $0.key < $1.key }.map(\.value),
            inputs: try known.fingerprints(of: plan, wholeFiles: options.hashFiles)
        ).report()
        report.gates = plan.spec.report.gates.map(report.result)
        report.isDiscarded = plan.spec.report.onFailure == .discard && report.gates.contains { !$0.hasPassed }
        try plan.withReports(report) {
            guard !report.isDiscarded else { return }
            let config = plan.model.configuration(of: output)
            try assembly.assemble(
                paths, at: output.spec.path, sideFiles: plan.model.input.sideFiles(config: config),
                force: options.force)
        }
        // With a failed gate the parts stay: another spec for the report can be finished from them.
        if !report.isDiscarded { try StagedFile.remove(directory) }
        return report
    }

    /// The count that the parts' records agree on.
    private func countFound() throws -> Int {
        let names = FileSystem.kind(of: directory) == .directory ? try FileSystem.names(in: directory) : []
        let counts = Set(
            names.compactMap { name -> Int? in
                guard name.hasSuffix(".json"), let range = name.firstRange(of: "-of-") else { return nil }
                return Int(name[range.upperBound...].dropLast(5))
            })
        guard let count = counts.first, counts.count == 1, count >= 1 else {
            throw counts.isEmpty
                ? PartsError.none(output.spec.path)
                : PartsError.severalCounts(directory, counts.sorted())
        }
        return count
    }
}

/// Why a shared conversion cannot be finished.
public enum PartsError: Error, Sendable, CustomStringConvertible {
    case none(FilePath)
    case missing([Part], of: FilePath)
    case unfit(FilePath, String)
    /// Parts of several divisions of the work.
    case severalCounts(FilePath, [Int])
    /// Adapters of a batch that no part has converted, with what is known about why.
    case adaptersMissing([(path: String, reason: String?)], parts: [Part])

    public var description: String {
        switch self {
        case .none(let path): "\(path): no part of it has been converted; run the parts first: --part 1/N and so on"
        case .missing(let parts, let path):
            "\(path): \(parts.count == 1 ? "part" : "parts") \(wordList(parts.map(\.description), "and")) \(parts.count == 1 ? "is" : "are") missing; run \(parts.count == 1 ? "it" : "them") with --part \(parts.first?.description ?? "")"
        case .unfit(let path, let reason): "\(path): \(reason); run that part again"
        case .severalCounts(let path, let counts):
            "\(path): it holds parts of \(wordList(counts.map(String.init), "and")); say with --parts N which of them belong together"
        case .adaptersMissing(let adapters, let parts):
            "\(adapters.count == 1 ? "the adapter" : "the adapters") \(wordList(adapters.map(\.path), "and")) \(adapters.count == 1 ? "has" : "have") not been converted"
                + PartsError.reasons(adapters)
                + (parts.isEmpty
                    ? "; run the parts that are missing, or tell how many there are with --parts"
                    : ": \(parts.count == 1 ? "part" : "parts") \(wordList(parts.map(\.description), "and")) \(parts.count == 1 ? "is" : "are") missing")
        }
    }

    private static func reasons(_ adapters: [(path: String, reason: String?)]) -> String {
        let known = adapters.compactMap { adapter in adapter.reason.map { "\(adapter.path): \($0)" } }
        return known.isEmpty ? "" : " (\(known.joined(separator: "; ")))"
    }
}
