import ArgumentParser
import Pipeline
import SystemPackage

struct PipelineCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pipeline", _superCommandName: QConv.name,
        abstract: "Runs the conversion that a spec describes, and reports the error of every tensor.",
        discussion: """
            A spec is a JSON document: an input, steps, an output, reports. Its schema, which editors can use, is \
            printed by --schema and documented in formats/pipeline.schema.json.
            """)

    @Argument(
        help: "The spec, a JSON file. Relative paths in it are relative to it.", completion: .file(extensions: ["json"])
    )
    var spec: String?

    @Flag(help: "Print the JSON schema of specs.")
    var schema = false

    @OptionGroup var share: PartOption

    @OptionGroup var execution: RunOptions

    func validate() throws {
        guard spec != nil || schema else { throw ValidationError("Give the path of a spec.") }
    }

    func run() throws {
        guard let spec, !schema else { return try StandardOutput.write(SpecSchema.text) }
        let pipeline = try PipelineSpec(file: FilePath(spec))
        guard let part = try share.value() else { return try execution.run(pipeline) }
        try execution.run(pipeline, part: part)
    }
}
