import ArgumentParser
import Pipeline

/// What stands on the command line instead of in the spec of a batch.
struct BatchOptions: ParsableArguments {
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Adapters, with * and ? as in a shell; instead of those of the spec. Relative to the working directory.",
            valueName: "path"))
    var adapters: [String] = []

    @Option(
        help: ArgumentHelp("Where the outputs go, such as 'out/{name}'; instead of the spec's.", valueName: "path"))
    var output: String?

    @Option(
        help: ArgumentHelp(
            "A file for the report that compares all adapters: .json, .csv or .html. May be given several times. Replaces an earlier one.",
            valueName: "path"))
    var report: [String] = []

    @Flag(help: "Leave out adapters that cannot work; otherwise nothing is started.")
    var keepGoing = false

    var overrides: BatchSpec.Overrides {
        var overrides = BatchSpec.Overrides()
        overrides.adapters = adapters
        overrides.output = output
        overrides.reports = report
        overrides.keepGoing = keepGoing
        return overrides
    }

    /// Whether they make a batch of a spec that has no section for it.
    var makeBatch: Bool { !adapters.isEmpty }
}
