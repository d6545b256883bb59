import ArgumentParser
import Pipeline

@main
struct QConv: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "qconv",
        abstract: "Converts 4-bit and 16-bit model checkpoints, and says what it did to every tensor.",
        version: qconvVersion)
}
