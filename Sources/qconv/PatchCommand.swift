import ArgumentParser
import Checkpoints
import LosslessJSON
import Pipeline
import Reports
import SystemPackage
import Tensors

struct PatchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "patch",
        abstract: "Makes a model from another and a patch, which holds only what differs between them.",
        discussion: """
            A pipeline whose output has the format patch writes one instead of a whole model. formats/patch.md describes \
            the format.
            """,
        subcommands: [Apply.self, Revert.self, Create.self])

    struct Apply: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "apply", abstract: "Makes the model that a patch leads to, bit for bit.")

        @OptionGroup var models: PatchedModel
        @OptionGroup var execution: PatchOptions

        func run() throws {
            try execution.make(.target, models)
        }
    }

    struct Revert: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "revert",
            abstract: "Makes the model that a patch started from, bit for bit, out of the one that it leads to.")

        @OptionGroup var models: PatchedModel
        @OptionGroup var execution: PatchOptions

        func run() throws {
            try execution.make(.base, models)
        }
    }

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "create", abstract: "Makes a patch from two models that are there.")

        @Argument(help: "The model that the patch is to start from.")
        var base: String

        @Argument(help: "The model that the patch is to lead to.")
        var full: String

        @Argument(help: "The patch to make, usually with a name that ends in .qpatch.")
        var patch: String

        @OptionGroup var execution: PatchOptions

        func run() throws {
            try execution.create(from: FilePath(base), to: FilePath(full), FilePath(patch))
        }
    }
}

/// What a patch is applied to or taken off from.
struct PatchedModel: ParsableArguments {
    @Argument(help: "The model to start from. Its files may be cut in another way than when the patch was made.")
    var source: String

    @Argument(help: "The patch.", completion: .file(extensions: [PatchReader.pathExtension]))
    var patch: String

    @Argument(help: "A directory to make, or a file whose name ends in .safetensors.")
    var output: String
}

/// The options of every command about patches, and the work itself.
struct PatchOptions: ParsableArguments {
    @Flag(help: "Replace what stands there.")
    var force = false

    @Option(help: ArgumentHelp("Worker threads. Default: one a core.", valueName: "n"))
    var threads: Int?

    @Flag(help: "Print no progress and no result.")
    var quiet = false

    @Flag(help: "Print the result as JSON.")
    var json = false

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads must be from 1 to 1024.")
        }
    }

    /// Makes one side of a patch from the other.
    func make(_ side: PatchSide, _ models: PatchedModel) throws {
        Interruption.listen()
        let (source, patchPath, output) = (FilePath(models.source), FilePath(models.patch), FilePath(models.output))
        let patch = try PatchReader(path: patchPath)
        let model = try ModelDirectory(path: source)
        try OutputDestination(output).check(
            force: force, besides: [source, patchPath].map { UsedPath($0, as: .input) })
        let application = try PatchApplication(patch, to: model, making: side)
        try withProgress { progress in
            try application.write(
                to: output, force: force, threads: threads, isCancelled: { Interruption.isRequested },
                progress: progress)
        }
        let files = patch.files(side)
        let bytes = files.reduce(0) { $0 + $1.byteCount }
        try tell(
            [
                "path": .string(output.string), "bytes": .int(bytes), "files": .int(files.count),
                "sha256": .string(patch.digest(side)),
            ],
            "\(output): \(files.count) files, \(NumberText.bytes(bytes)), tensors' SHA-256 \(patch.digest(side))\n")
    }

    func create(from base: FilePath, to full: FilePath, _ path: FilePath) throws {
        Interruption.listen()
        try OutputDestination(path).check(force: force, besides: [base, full].map { UsedPath($0, as: .input) })
        let creation = try PatchCreation(base: ModelDirectory(path: base), target: ModelDirectory(path: full))
        try withProgress { progress in
            try creation.write(
                to: path, force: force, threads: threads, isCancelled: { Interruption.isRequested },
                progress: progress)
        }
        let facts = PatchFacts(try PatchReader(path: path))
        try tell(facts.json, facts.text)
    }

    private func withProgress(_ body: (@escaping @Sendable (Int, Int) -> Void) throws -> Void) throws {
        let progress = ProgressLine(isEnabled: !quiet)
        defer { progress.clear() }
        try body { progress.show(done: $0, total: $1) }
    }

    private func tell(_ document: JSONValue, _ text: String) throws {
        if json {
            try StandardOutput.write(document.serialized(.pretty) + "\n")
        } else if !quiet {
            try StandardOutput.write(TerminalText.printableLines(text))
        }
    }
}
