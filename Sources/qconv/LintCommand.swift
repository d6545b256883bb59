import ArgumentParser
import Lint
import Pipeline
import SystemPackage
import Workers

struct LintCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lint", _superCommandName: QConv.name,
        abstract: "Tells what is doubtful about an adapter, from headers alone.",
        discussion: """
            Lists everything that stands against merging the adapter, and what would go unnoticed: fields and tensors that \
            are not supported, modules without a home in the base, patterns without effect, odd scalings and dtypes, \
            missing layers, another base. formats/lint.md explains every finding.

            Exit status: 0 when nothing is doubtful, 1 when something is, 2 for bad input, 3 when the machine fails.
            """)

    @Argument(help: "The adapter's directory.", completion: .directory)
    var adapter: String

    @Option(help: ArgumentHelp("The model that the adapter is meant for.", valueName: "model"), completion: .file())
    var base: String?

    @Flag(help: "Also read the values, and look for NaN, infinities and zeros.")
    var values = false

    @Flag(help: "List every module and every finding in a line of its own.")
    var all = false

    @Flag(help: "Print JSON (formats/lint.schema.json).")
    var json = false

    @Flag(help: "Print nothing; the exit status tells.")
    var quiet = false

    func validate() throws {
        guard !(json && quiet) else { throw ValidationError("Give only one of --json and --quiet.") }
    }

    func run() throws {
        var lint = try AdapterLint(
            directory: FilePath(adapter), base: base.map { FilePath($0) }, readsValues: values, threads: coreCount)
        lint.toolVersion = qconvVersion
        if json {
            try StandardOutput.write(lint.jsonText())
        } else if !quiet {
            try StandardOutput.write(
                lint.terminalText(width: StandardOutput.width, styled: StandardOutput.isStyled, all: all))
        }
        if !lint.isClean { ExitStatus.leave(.gateFailed) }
    }
}
