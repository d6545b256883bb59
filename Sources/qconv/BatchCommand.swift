import ArgumentParser
import Pipeline
import Reports
import SystemPackage

struct BatchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "batch",
        abstract: "Runs a spec for many adapters of one base; finishes what several processes have shared.",
        subcommands: [BatchRunCommand.self, BatchFinishCommand.self], defaultSubcommand: BatchRunCommand.self)
}

struct BatchRunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs a spec for many adapters of one base, reading and decoding each base tensor once.",
        discussion: """
            The spec is an ordinary one whose adapter is left open: {"op": "attach-adapter", "path": "{adapter}"}. Its \
            steps, output and report may have the fields {adapter}, {name}, {parent} and {index}; see formats/batch.md. \
            What an interrupted run has finished is not done again.
            """)

    @Argument(
        help: "The spec, a JSON file. Relative paths in it are relative to it.", completion: .file(extensions: ["json"])
    )
    var spec: String

    @OptionGroup var choice: BatchOptions

    @Option(
        help: ArgumentHelp(
            "Print the ordinary spec that the batch is for one adapter, given by path or name, and convert nothing.",
            valueName: "adapter"))
    var printSpec: String?

    @OptionGroup var share: PartOption

    @OptionGroup var execution: RunOptions

    func run() throws {
        let spec = try BatchSpec(file: FilePath(spec), overrides: choice.overrides)
        if let printSpec { return try printOrdinarySpec(of: printSpec, in: spec) }
        Interruption.listen()
        let options = try execution.options()
        let part = try share.value()
        let plan = try BatchPlan(spec: spec, options: options, part: part)
        if execution.plan {
            let json = plan.json.serialized(.pretty) + "\n"
            return try StandardOutput.write(execution.json ? json : plan.text(width: StandardOutput.width))
        }
        try refuseProblems(of: plan)
        let progress = BatchProgress(passes: plan.passes.count, isEnabled: !execution.quiet)
        let outcome = BatchExecutor(
            plan: plan, options: options, isCancelled: { Interruption.isRequested }, onEvent: progress.show
        ).run()
        progress.clear()
        guard !Interruption.isRequested else {
            // The table tells what is there. The report files are about a whole batch: the run that goes on writes them.
            try? tell(outcome.report)
            Interruption.exitAsInterrupted(saying: "what was finished is in place, and will not be done again")
        }
        try finish(outcome, of: plan)
    }

    private func printOrdinarySpec(of name: String, in spec: BatchSpec) throws {
        guard
            let adapter = spec.adapters.first(where: { $0.path == name })
                ?? spec.adapters.first(where: { $0.name == name })
        else {
            throw ValidationError("No adapter of the batch has the path or the name \(name).")
        }
        try StandardOutput.write(spec.document(for: adapter).serialized(.pretty) + "\n")
    }

    /// Ends the process when an adapter cannot work and is not to be left out.
    private func refuseProblems(of plan: BatchPlan) throws {
        guard !plan.problems.isEmpty, !plan.spec.keepGoing else { return }
        for (adapter, error) in plan.problems { StandardError.write("qconv: \(adapter.path): \(error)\n") }
        StandardError.write(
            "qconv: error: \(plan.problems.count) of \(plan.items.count) adapters cannot work, so nothing was started; leave them out with --keep-going\n"
        )
        ExitStatus.leave(ExitStatus.worst(of: plan.problems.map(\.error)))
    }

    private func finish(_ outcome: BatchExecutor.Outcome, of plan: BatchPlan) throws {
        let report = outcome.report
        // That of a part would tell half of it; "qconv batch finish" writes the whole.
        if try share.value() == nil { try plan.spec.report.write(report) }
        try tell(report)
        if !outcome.errors.isEmpty { ExitStatus.leave(ExitStatus.worst(of: outcome.errors)) }
        if report.hasFailedGates { ExitStatus.leave(.gateFailed) }
    }

    private func tell(_ report: BatchReport) throws {
        if execution.json {
            try StandardOutput.write(report.json.serialized(.pretty) + "\n")
        } else if !execution.quiet {
            try StandardOutput.write(
                report.terminalText(width: StandardOutput.width, styled: StandardOutput.isStyled))
        }
        if execution.json || execution.quiet {
            for adapter in report.adapters {
                if let reason = adapter.reason { StandardError.write("qconv: \(adapter.path): \(reason)\n") }
            }
        }
    }
}
