import ArgumentParser
import Comparison
import Pipeline
import Reports
import SystemPackage
import Workers

struct ExplainMergeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain-merge", _superCommandName: QConv.name,
        abstract: "Tells what a merge by any tool did to every module: which scaling of which update it added.",
        discussion: """
            BASE is the model that the adapter was merged onto, MERGED the result, in whatever they are stored. The change \
            of every tensor is fitted to the adapter's update by least squares, and what the fit leaves is held against \
            what rounding explains: formats/explain-merge.md has every figure and every verdict.

            Exit status: 0 when every module holds its update as configured and nothing else changed, 1 otherwise, 2 for \
            bad input, 3 when the machine fails.
            """)

    @Argument(help: "The model before the merge.", completion: .file())
    var base: String

    @Argument(help: "The model after it.", completion: .file())
    var merged: String

    @Argument(help: "The adapter's directory.", completion: .directory)
    var adapter: String

    @Option(
        name: .customLong("map"),
        help: ArgumentHelp(
            "Rename tensors of both models by a regular expression, such as 's/^model\\.language_model\\./model./'. Several are applied in order.",
            valueName: "rule"))
    var renames: [String] = []

    @Flag(help: "List every tensor in a line of its own, also those that the adapter leaves alone.")
    var all = false

    @Flag(help: "Print the explanation as JSON (formats/explain-merge.schema.json).")
    var json = false

    @Flag(help: "Print nothing; the exit status tells.")
    var quiet = false

    @OptionGroup var streaming: StreamingOptions

    func validate() throws {
        guard !(json && quiet) else { throw ValidationError("Give only one of --json and --quiet.") }
    }

    func run() throws {
        Interruption.listen()
        let start = ContinuousClock.now
        var options = ComparisonOptions()
        options.renames = try ComparisonOptions.renames(renames)
        options.adapter = FilePath(adapter)
        options.threads = streaming.threads
        options.memory = try streaming.memoryBytes()
        let models = try ComparedModel.opening(FilePath(base), FilePath(merged))
        let explainer = try MergeExplainer(base: models.a, merged: models.b, options: options)
        let progress = ProgressLine(isEnabled: !quiet)
        defer { progress.clear() }
        let total = explainer.bytesToRead
        var explanation = try explainer.run(
            isCancelled: { Interruption.isRequested },
            progress: { progress.show(done: min($0, total), total: total) })
        explanation.toolVersion = qconvVersion
        explanation.inputs = try (models.a.reader.files + models.b.reader.files).filter { $0.extension != "json" }
            .map { try Fingerprint.make($0, wholeFile: false) }
        explanation.run = RunFacts(
            seconds: (ContinuousClock.now - start) / .seconds(1), peakMemoryBytes: peakMemory,
            threads: explanation.threads)
        progress.clear()
        if json {
            try StandardOutput.write(explanation.jsonText())
        } else if !quiet {
            try StandardOutput.write(
                explanation.terminalText(
                    width: StandardOutput.width, styled: StandardOutput.isStyled, all: all))
        }
        if !explanation.isRight { ExitStatus.leave(.gateFailed) }
    }
}
