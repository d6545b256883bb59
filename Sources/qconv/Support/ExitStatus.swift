import ArgumentParser
import Pipeline
import SystemPackage
import Tensors

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// The exit statuses of every command.
enum ExitStatus: Int32 {
    /// A gate failed, compared models differ, or something is damaged or doubtful.
    case gateFailed = 1
    /// The input or the spec is bad.
    case badInput = 2
    /// The disk, memory or permissions failed us.
    case machine = 3

    /// Prints an error as its reader should see it and ends the process.
    static func exit(reporting error: any Error) -> Never {
        if error is Interrupted { Interruption.exitAsInterrupted() }
        // --help and --version arrive as errors too, as do mistakes on the command line, which ArgumentParser words.
        let code = QConv.exitCode(for: error)
        if let code = error as? ExitCode { QConv.exit(withError: code) }
        if code.isSuccess || code == .validationFailure {
            guard code.isSuccess else {
                StandardError.write(QConv.fullMessage(for: error) + "\n")
                leave(.badInput)
            }
            QConv.exit(withError: error)
        }
        StandardError.write("qconv: error: \(error)\n")
        leave(of(error))
    }

    /// The status of several errors: the machine's failures weigh more than those of inputs.
    static func worst(of errors: [any Error]) -> ExitStatus {
        errors.contains { of($0) == .machine } ? .machine : .badInput
    }

    /// Whose fault an error is.
    private static func of(_ error: any Error) -> ExitStatus {
        if let placed = error as? PlacedError { return of(placed.underlying) }
        if error is InsufficientSpaceError { return .machine }
        guard let file = error as? FileError else { return .badInput }
        switch file.operation {
        case .create, .write, .sync, .rename, .remove: return .machine
        case .open, .irregular, .read, .endedEarly, .list:
            let absent: [Errno?] = [.noSuchFileOrDirectory, .isDirectory, .notDirectory, nil]
            return absent.contains(file.errno) ? .badInput : .machine
        }
    }

    /// Ends the process.
    static func leave(_ status: ExitStatus) -> Never {
        #if canImport(Darwin)
        Darwin.exit(status.rawValue)
        #elseif canImport(Musl)
        Musl.exit(status.rawValue)
        #else
        Glibc.exit(status.rawValue)
        #endif
    }
}
