import ArgumentParser
import CSystemCalls
import Pipeline

@main
struct QConv: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "qconv",
        abstract: "Converts 4-bit and 16-bit model checkpoints, and says what it did to every tensor.",
        discussion: """
            Exit status: 0 done; 1 a gate failed or models differ; 2 bad input or spec; 3 the machine failed \
            (disk, memory, permission).
            """,
        version: qconvVersion,
        subcommands: [
            PipelineCommand.self, BatchCommand.self, ConvertCommand.self, DiffCommand.self, ExplainMergeCommand.self,
            LintCommand.self, InspectCommand.self, VerifyCommand.self, PatchCommand.self,
        ])

    /// Parses and runs, with the exit statuses that the discussion promises.
    static func main() {
        memory_keep_freed()
        OpenFiles.raiseLimit()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            ExitStatus.exit(reporting: error)
        }
    }
}
