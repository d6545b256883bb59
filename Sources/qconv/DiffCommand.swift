import ArgumentParser
import Checkpoints
import Comparison
import Pipeline
import Reports
import SystemPackage
import Tensors
import Workers

struct DiffCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff", _superCommandName: QConv.name,
        abstract: "Compares two models value by value, whatever they are stored in.",
        discussion: """
            A and B are Hugging Face directories, .safetensors files, indices of shards, containers, or two PEFT \
            adapters. Errors are those of B against A.

            Exit status: 0 when the models are equal (or no gate fails), 1 when they differ (or a gate fails), 2 for \
            bad input, 3 when the machine fails. Models are equal when they have the same tensors with the same \
            values, however stored, their configurations describe the same model, and containers hold the same adapters.

            Gates compare a figure of every tensor (relative_error, max_abs_error, p99_9, codes_changed, update_kept, \
            …), one of all together (overall.relative_error, …) or a count (missing, extra, shapes_differ, different, \
            config_changes, adapters_differ) with a number. formats/diff.md explains every figure.
            """)

    @Argument(help: ArgumentHelp("The model to compare with.", valueName: "a"), completion: .file())
    var first: String

    @Argument(help: ArgumentHelp("The model to compare.", valueName: "b"), completion: .file())
    var second: String

    @Option(help: ArgumentHelp("Tell how much of this adapter's update to A is in B.", valueName: "dir"))
    var adapter: String?

    @Option(
        name: .customLong("map"),
        help: ArgumentHelp(
            "Rename tensors by a regular expression, such as 's/^model\\.language_model\\./model./'. Several are applied in order.",
            valueName: "rule"))
    var renames: [String] = []

    @Option(
        help: ArgumentHelp("Compare only tensors that match this pattern (* any characters).", valueName: "pattern"))
    var include: [String] = []

    @Option(help: ArgumentHelp("Leave out tensors that match this pattern.", valueName: "pattern"))
    var exclude: [String] = []

    @Option(help: ArgumentHelp("A relative error up to which a tensor counts as equal.", valueName: "error"))
    var tolerance = 0.0

    @Option(
        help: ArgumentHelp(
            "Fail where this holds, such as 'relative_error > 0.05', 'update_kept < 90%', 'missing > 0'.",
            valueName: "gate"))
    var failIf: [String] = []

    @Option(help: ArgumentHelp("Fail where this does not hold.", valueName: "gate"))
    var require: [String] = []

    @Flag(help: "List every tensor in a line of its own, also those that are the same.")
    var all = false

    @Option(help: ArgumentHelp("The most lines to list. Default: 24.", valueName: "n"))
    var top: Int?

    @Option(help: ArgumentHelp("What comes first: worst, error, max, changed, kept, name or model.", valueName: "key"))
    var sort = DifferenceTableOptions.Order.worst

    @Flag(help: "Print the comparison as JSON (formats/diff.schema.json).")
    var json = false

    @Flag(help: "Print the comparison as CSV, one row a tensor.")
    var csv = false

    @Option(
        help: ArgumentHelp(
            "Also write the comparison as a page to look at: one HTML file without any other. Replaces an earlier one.",
            valueName: "file"),
        completion: .file(extensions: ["html"]))
    var html: String?

    @Flag(help: "Print nothing; the exit status tells.")
    var quiet = false

    @OptionGroup var streaming: StreamingOptions

    func validate() throws {
        guard tolerance >= 0, tolerance.isFinite else {
            throw ValidationError("--tolerance must be a number from 0 on.")
        }
        guard (top ?? 1) > 0 else { throw ValidationError("--top must be at least 1.") }
        guard [json, csv, quiet].count(where: \.self) <= 1 else {
            throw ValidationError("Give only one of --json, --csv and --quiet.")
        }
    }

    func run() throws {
        Interruption.listen()
        let start = ContinuousClock.now
        let options = try options()
        let gates = try gates()
        let (a, b) = try ComparedModel.opening(FilePath(first), FilePath(second))
        try checkPage(besides: [FilePath(first), FilePath(second)] + a.files + b.files)
        let comparer = try ModelComparer(a, b, options: options)
        let progress = ProgressLine(isEnabled: !quiet)
        defer { progress.clear() }
        let total = comparer.bytesToRead
        var difference = try comparer.run(
            isCancelled: { Interruption.isRequested },
            progress: { progress.show(done: min($0, total), total: total) })
        difference.toolVersion = qconvVersion
        difference.inputs = try (a.reader.files + b.reader.files).filter { $0.extension != "json" }
            .map { try Fingerprint.make($0, wholeFile: false) }
        difference.gates = gates.map(difference.result)
        difference.run = RunFacts(
            seconds: (ContinuousClock.now - start) / .seconds(1), peakMemoryBytes: peakMemory,
            threads: difference.threads)
        progress.clear()
        if let html { try StagedFile.write(difference.page().html().utf8, to: FilePath(html)) }
        try write(difference)
        let isGood = gates.isEmpty ? difference.isEqual : difference.gates.allSatisfy(\.hasPassed)
        if !isGood { ExitStatus.leave(.gateFailed) }
    }

    /// Refuses a page that would take the place of what is compared; an earlier page is replaced.
    private func checkPage(besides inputs: [FilePath]) throws {
        guard let html else { return }
        let used =
            inputs.map { UsedPath($0, as: .input) } + (adapter.map { [UsedPath(FilePath($0), as: .adapter)] } ?? [])
        try OutputDestination(FilePath(html), as: .report).check(force: true, besides: used)
    }

    private func write(_ difference: ModelDifference) throws {
        if json {
            try StandardOutput.write(difference.jsonText())
        } else if csv {
            try StandardOutput.write(difference.csv())
        } else if !quiet {
            var table = DifferenceTableOptions()
            table.all = all
            table.top = top
            table.order = sort
            try StandardOutput.write(
                difference.terminalText(
                    width: StandardOutput.width, styled: StandardOutput.isStyled, table: table))
        }
        // Whoever reads only the figures learns of the gates from standard error.
        guard json || csv else { return }
        for result in difference.gates where !result.hasPassed {
            StandardError.write("qconv: \(result.text())\n")
        }
    }

    private func options() throws -> ComparisonOptions {
        var options = ComparisonOptions()
        options.renames = try ComparisonOptions.renames(renames)
        options.include = include.map(Glob.init)
        options.exclude = exclude.map(Glob.init)
        options.tolerance = tolerance
        options.adapter = adapter.map { FilePath($0) }
        options.threads = streaming.threads
        options.memory = try streaming.memoryBytes()
        return options
    }

    private func gates() throws -> [Gate] {
        let hasAdapter = adapter != nil
        return try failIf.map { try ModelDifference.gate(parsing: $0, sense: .failIf, hasAdapter: hasAdapter) }
            + require.map { try ModelDifference.gate(parsing: $0, sense: .require, hasAdapter: hasAdapter) }
    }
}

extension DifferenceTableOptions.Order: ExpressibleByArgument {}
