import ArgumentParser

/// Measures the inner loops of qconv on matrices in memory, and makes checkpoints to measure the program with.
@main
struct QConvBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "qconv-bench",
        abstract: "Measures qconv's inner loops, and makes checkpoints to measure the program with.",
        subcommands: [KernelsCommand.self, ContainersCommand.self, GenerateCommand.self])
}
