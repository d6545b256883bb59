import ArgumentParser
import Pipeline
import SystemPackage
import Tensors

struct ConvertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert", _superCommandName: QConv.name,
        abstract: "Converts a model from one format to another: the short form of a pipeline.")

    @Argument(help: "A model directory, a .safetensors file or a container.")
    var input: String

    @Argument(help: "A directory to make, or a file whose name ends in .safetensors or .nf4.")
    var output: String

    @Option(help: "nf4, bitsandbytes or safetensors. Default: nf4 for a path that ends so, else what the tensors are.")
    var to: OutputFormat?

    @Option(help: "The dtype of dense weights: bf16, f16 or f32.")
    var dtype: DenseDType?

    @Flag(help: "Print the spec that this conversion stands for, and convert nothing.")
    var printSpec = false

    @OptionGroup var execution: RunOptions

    func run() throws {
        let request = ConversionRequest(
            input: FilePath(input), output: FilePath(output), format: to, dtype: dtype?.dtype)
        let text = try request.spec().serialized(.pretty) + "\n"
        guard !printSpec else { return try StandardOutput.write(text) }
        try execution.run(PipelineSpec(text: text.utf8, file: "convert"))
    }
}

extension OutputFormat: ExpressibleByArgument {
    /// What a conversion can make; asked for a patch, it says how those are made.
    public static var allValueStrings: [String] { allCases.filter { $0 != .patch }.map(\.rawValue) }
}

extension DenseDType: ExpressibleByArgument {}
