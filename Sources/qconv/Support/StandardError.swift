import Reports
import SystemPackage
import Tensors

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Where progress and messages go; results go to standard output.
enum StandardError {
    /// Writes a message. It may quote names from files that nobody vouches for: what a terminal would act on becomes escapes,
    /// but for line breaks.
    static func write(_ text: String) { writeAsIs(TerminalText.printableLines(text)) }

    /// Writes text that a terminal is to act on.
    static func writeAsIs(_ text: String) {
        // Nobody can be told that standard error is gone.
        _ = try? FileDescriptor.standardError.writeAll(text.utf8)
    }

    static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }
}

/// Where results go.
enum StandardOutput {
    /// Writes a result.
    ///
    /// - Throws: `FileError` when standard output is closed or its disk is full.
    static func write(_ text: String) throws(FileError) {
        do {
            try FileDescriptor.standardOutput.writeAll(text.utf8)
        } catch {
            throw FileError(.write, "standard output", error as? Errno)
        }
    }

    /// Whether colour and emphasis make sense: a terminal whose user has not asked for none (https://no-color.org).
    static var isStyled: Bool {
        isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == nil
    }

    /// Characters a line: the terminal's width, or 100 when piped.
    static var width: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 100 }
        return Int(size.ws_col)
    }
}
