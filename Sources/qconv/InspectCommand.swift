import ArgumentParser
import Pipeline
import SystemPackage

struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Tells what a model, a container or an adapter holds, from headers alone.")

    @Argument(help: "A model directory, a .safetensors file, a container, or an adapter's directory.")
    var path: String

    @Argument(help: "Tell about this tensor only.")
    var tensor: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let inspection = try Inspection(path: FilePath(path))
        try StandardOutput.write(
            json
                ? try inspection.json(tensor: tensor).serialized(.pretty) + "\n" : try inspection.text(tensor: tensor))
    }
}
