import ArgumentParser
import LosslessJSON
import Pipeline
import Reports
import SystemPackage

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", _superCommandName: QConv.name,
        abstract: "Checks that models are whole, and names what is damaged.",
        discussion: "Exit status: 0 when everything is whole, 1 when something is damaged.")

    @Argument(help: "Containers, .safetensors files or model directories.")
    var paths: [String]

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let results = try paths.map { try ModelVerification(path: FilePath($0)) }
        if json {
            let document = JSONValue.array(
                results.map { result in
                    [
                        "path": .string(result.path.string), "bytes": .int(result.bytes),
                        "damages": .array(result.damages.map { .string($0) }),
                    ]
                })
            try StandardOutput.write(document.serialized(.pretty) + "\n")
        } else {
            for result in results {
                let lines =
                    result.damages.isEmpty
                    ? ["\(result.path): whole, \(NumberText.bytes(result.bytes))"]
                    : result.damages.map { $0.hasPrefix(result.path.string) ? $0 : "\(result.path): \($0)" }
                try StandardOutput.write(TerminalText.printableLines(lines.joined(separator: "\n") + "\n"))
            }
        }
        if results.contains(where: { !$0.damages.isEmpty }) { throw ExitCode(ExitStatus.gateFailed.rawValue) }
    }
}
