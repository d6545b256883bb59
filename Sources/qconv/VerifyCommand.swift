import ArgumentParser
import LosslessJSON
import Pipeline
import Reports
import SystemPackage

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", _superCommandName: QConv.name,
        abstract: "Checks that models and adapters are whole, and names what is damaged.",
        discussion: """
            All of them are checked, whatever is wrong with one.

            Exit status, of several the highest: 0 when everything is whole, 1 when something is damaged, 2 when a path \
            leads to nothing that can be checked, 3 when the machine fails.
            """)

    @Argument(help: "Containers, patches, .safetensors files, directories of models or adapters.")
    var paths: [String]

    @Flag(help: "Print JSON.")
    var json = false

    /// What came of a path.
    private typealias Outcome = (path: String, result: Result<ModelVerification, any Error>)

    func run() throws {
        let outcomes: [Outcome] = paths.map { path in
            (path, Result { try ModelVerification(path: FilePath(path)) })
        }
        if json {
            let document = JSONValue.array(outcomes.map(VerifyCommand.json))
            try StandardOutput.write(document.serialized(.pretty) + "\n")
        }
        for (_, result) in outcomes {
            switch result {
            case .success(let verification):
                if !json { try StandardOutput.write(VerifyCommand.text(of: verification)) }
            case .failure(let error): StandardError.write("qconv: \(error)\n")
            }
        }
        leaveUnlessWhole(outcomes.map(\.result))
    }

    /// Ends the process with the worst status, if anything is wrong.
    private func leaveUnlessWhole(_ results: [Result<ModelVerification, any Error>]) {
        let errors = results.compactMap { result in
            if case .failure(let error) = result { error } else { nil }
        }
        if !errors.isEmpty { ExitStatus.leave(ExitStatus.worst(of: errors)) }
        let verified = results.compactMap { try? $0.get() }
        if verified.contains(where: { !$0.damages.isEmpty }) { ExitStatus.leave(.gateFailed) }
    }

    private static func json(_ outcome: Outcome) -> JSONValue {
        var document: JSONValue = ["path": .string(FilePath(outcome.path).string)]
        switch outcome.result {
        case .success(let verification):
            document["bytes"] = .int(verification.bytes)
            document["damages"] = .array(verification.damages.map { .string($0) })
        case .failure(let error):
            document["error"] = .string("\(error)")
        }
        return document
    }

    private static func text(of verification: ModelVerification) -> String {
        let path = verification.path.string
        let lines =
            verification.damages.isEmpty
            ? ["\(path): whole, \(NumberText.bytes(verification.bytes))"]
            : verification.damages.map { $0.hasPrefix(path) ? $0 : "\(path): \($0)" }
        return TerminalText.printableLines(lines.joined(separator: "\n") + "\n")
    }
}
