import ArgumentParser
import Checkpoints
import Pipeline
import Reports
import SystemPackage

struct BatchFinishCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "finish",
        abstract: "Puts together what several processes have converted with --part.",
        discussion: """
            Of one model (qconv pipeline SPEC --part I/N) it puts the shards in place, with the index, the side files and \
            the reports. Of a batch (qconv batch SPEC --part I/N), whose outputs stand in their places already, it \
            writes the reports on all adapters. What is missing is named. Give the same options as to the parts.
            """)

    @Argument(
        help: "The specs that were converted in parts.", completion: .file(extensions: ["json"]))
    var specs: [String]

    @OptionGroup var choice: BatchOptions

    @Option(
        help: ArgumentHelp(
            "How many parts there were. Default: what is there tells, but of a batch not which parts are missing.",
            valueName: "n"))
    var parts: Int?

    @Flag(
        help: "Replace an existing model and its reports. (The report on a whole batch replaces an earlier one anyway.)"
    )
    var force = false

    @Flag(help: "Add the SHA-256 of whole input files to their fingerprints, as the parts did.")
    var hash = false

    @Flag(help: "Print no report.")
    var quiet = false

    @Flag(help: "Print the report as JSON.")
    var json = false

    func validate() throws {
        guard !specs.isEmpty else { throw ValidationError("Give the path of a spec.") }
        if let parts, parts < 1 { throw ValidationError("--parts must be at least 1.") }
    }

    func run() throws {
        var options = PipelineOptions()
        options.force = force
        options.hashFiles = hash
        var hasFailedGates = false
        for path in specs.map({ FilePath($0) }) {
            if try choice.makeBatch || BatchSpec.isBatch(path) {
                hasFailedGates = try finishBatch(path, options) || hasFailedGates
            } else {
                hasFailedGates = try finishModel(path, options) || hasFailedGates
            }
        }
        if hasFailedGates { ExitStatus.leave(.gateFailed) }
    }

    /// - Returns: Whether a gate failed.
    private func finishModel(_ path: FilePath, _ options: PipelineOptions) throws -> Bool {
        let conversion = try PartedConversion(spec: PipelineSpec(file: path), options: options)
        let report = try conversion.finish(count: parts)
        try tell(
            report.jsonText(),
            report.terminalText(width: StandardOutput.width, styled: StandardOutput.isStyled))
        return report.gates.contains { !$0.hasPassed }
    }

    /// - Returns: Whether a gate failed.
    private func finishBatch(_ path: FilePath, _ options: PipelineOptions) throws -> Bool {
        let spec = try BatchSpec(file: path, overrides: choice.overrides)
        let finish = try BatchFinish(spec: spec, options: options)
        if let problem = finish.problems.first, !spec.keepGoing { throw problem.error }
        let report = try finish.finish(count: parts)
        try tell(
            report.json.serialized(.pretty) + "\n",
            report.terminalText(width: StandardOutput.width, styled: StandardOutput.isStyled))
        return report.hasFailedGates
    }

    private func tell(_ document: String, _ text: String) throws {
        if json {
            try StandardOutput.write(document)
        } else if !quiet {
            try StandardOutput.write(text)
        }
    }
}
