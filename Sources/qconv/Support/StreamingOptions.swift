import ArgumentParser
import Checkpoints

/// The options of every command that streams models by: how many threads, how much memory.
struct StreamingOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Worker threads. Default: one a core.", valueName: "n"))
    var threads: Int?

    @Option(help: ArgumentHelp("The most memory for data in flight.", valueName: "size"))
    var memory = "256MiB"

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads must be from 1 to 1024.")
        }
        do throws(CheckpointError) {
            _ = try ByteSize(parsing: memory)
        } catch {
            throw ValidationError("--memory: \(error).")
        }
    }

    /// The budget of memory in bytes.
    func memoryBytes() throws -> Int { try ByteSize(parsing: memory).bytes }
}
