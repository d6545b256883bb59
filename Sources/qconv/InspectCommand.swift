import ArgumentParser
import Checkpoints
import Pipeline
import SystemPackage

struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", _superCommandName: QConv.name,
        abstract: "Tells what a model, a container, a patch or an adapter holds, from headers alone.")

    @Argument(help: "A model directory, a .safetensors file, a container, a patch, or an adapter's directory.")
    var path: String

    @Argument(help: "Tell about this tensor only.")
    var tensor: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        guard try !PatchReader.stands(at: FilePath(path)) else { return try tell(PatchReader(path: FilePath(path))) }
        let inspection = try Inspection(path: FilePath(path))
        try StandardOutput.write(
            json
                ? try inspection.json(tensor: tensor).serialized(.pretty) + "\n" : try inspection.text(tensor: tensor))
    }

    private func tell(_ patch: PatchReader) throws {
        guard tensor == nil else {
            throw ValidationError(
                "\(path) is a patch, which holds differences, not tensors. Leave out the tensor's name.")
        }
        let facts = PatchFacts(patch)
        try StandardOutput.write(json ? facts.json.serialized(.pretty) + "\n" : facts.text)
    }
}
