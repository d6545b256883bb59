import ArgumentParser
import LosslessJSON
import Pipeline
import Reports

/// The options of every command that converts, and the conversion itself.
struct RunOptions: ParsableArguments {
    @Flag(help: "Print what would be done, from headers alone, and write nothing.")
    var plan = false

    @Flag(help: "Replace existing outputs and reports. (The report on a whole batch replaces an earlier one anyway.)")
    var force = false

    @OptionGroup var streaming: StreamingOptions

    @Flag(help: "Add the SHA-256 of whole input files to their fingerprints.")
    var hash = false

    @Flag(help: "Print no progress and no report; without another report, its figures are not even made.")
    var quiet = false

    @Flag(help: "Print the report (or the plan) as JSON.")
    var json = false

    /// Plans and runs a conversion, with progress on standard error and the report on standard output.
    func run(_ spec: PipelineSpec) throws {
        Interruption.listen()
        let options = try options()
        let plan = try PipelinePlan(spec: spec, options: options, isToRun: !self.plan)
        if self.plan {
            return try StandardOutput.write(
                json ? plan.json.serialized(.pretty) + "\n" : plan.text(width: StandardOutput.width))
        }
        let progress = ProgressLine(isEnabled: !quiet)
        defer { progress.clear() }
        let executor = PipelineExecutor(
            plan: plan, options: options, wantsFigures: json || !quiet, isCancelled: { Interruption.isRequested },
            progress: progress.show)
        let report = try executor.run()
        progress.clear()
        if json {
            try StandardOutput.write(report.json.serialized(.pretty) + "\n")
        } else if !quiet {
            try StandardOutput.write(
                report.terminalText(width: StandardOutput.width, styled: StandardOutput.isStyled))
        }
        leaveIfGateFailed(report)
    }

    /// Converts a part of a model.
    func run(_ spec: PipelineSpec, part: Part) throws {
        Interruption.listen()
        guard !plan else {
            throw ValidationError("--plan is about the whole conversion. Leave out --part.")
        }
        let conversion = try PartedConversion(spec: spec, options: options())
        let progress = ProgressLine(isEnabled: !quiet)
        defer { progress.clear() }
        let shards = try conversion.convert(
            part, isCancelled: { Interruption.isRequested }, progress: progress.show)
        progress.clear()
        guard !quiet else { return }
        try StandardOutput.write(
            json
                ? JSONValue.object([
                    "part": .int(part.number), "parts": .int(part.count),
                    "shards": .array(shards.map { .string($0) }),
                ]).serialized(.pretty) + "\n"
                : "part \(part): \(shards.isEmpty ? "no shards" : shards.joined(separator: ", "))\n")
    }

    /// Ends the process with the status of a failed gate, if one failed. Whoever did not ask for the text of the report
    /// learns from standard error why.
    func leaveIfGateFailed(_ report: ConversionReport) {
        let failed = report.gates.filter { !$0.hasPassed }
        guard !failed.isEmpty else { return }
        if json || quiet {
            for result in failed { StandardError.write("qconv: \(result.text())\n") }
            if report.isDiscarded { StandardError.write("qconv: no output was put in place\n") }
        }
        ExitStatus.leave(.gateFailed)
    }

    /// What the flags say about the conversion.
    func options() throws -> PipelineOptions {
        var options = PipelineOptions()
        options.force = force
        options.threads = streaming.threads
        options.memory = try streaming.memoryBytes()
        options.hashFiles = hash
        return options
    }
}
