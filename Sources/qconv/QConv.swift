import ArgumentParser
import CSystemCalls
import Pipeline

@main
struct QConv: ParsableCommand {
    static let name = "qconv"

    static let configuration = CommandConfiguration(
        commandName: name,
        abstract: "Converts 4-bit and 16-bit model checkpoints, and says what it did to every tensor.",
        discussion: """
            Exit status: 0 done; 1 a gate failed, models differ, or something is damaged or doubtful; 2 bad input or spec; \
            3 the machine failed (disk, memory, permission).
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
            var command = try parseCommand()
            try command.run()
        } catch {
            ExitStatus.exit(reporting: error)
        }
    }

    /// Parses a command by itself, if it has no others below it, which takes half the time. What it does not take (mistakes,
    /// help) is parsed again as a whole, for the words. With the name of a command above it, it does not look for a request for completions.
    private static func parseCommand() throws -> any ParsableCommand {
        let arguments = Array(CommandLine.arguments.dropFirst())
        let asked = configuration.subcommands.first {
            $0.configuration.commandName == arguments.first && $0.configuration.subcommands.isEmpty
        }
        if let asked, let command = try? asked.parseAsRoot(Array(arguments.dropFirst())), type(of: command) == asked {
            return command
        }
        return try parseAsRoot()
    }
}
