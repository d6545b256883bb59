/// How text is made to fit a terminal.
package enum TerminalText {
    /// The narrowest line that the report still makes sense in.
    package static let minimumWidth = 40

    /// Text without anything that a terminal would act on: control characters, line breaks and invisible formatting become
    /// escapes. Tensor names and paths come from files that nobody vouches for.
    package static func printable(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// Lines as one text, with escapes for what a terminal would act on: names and metadata may hold anything.
    package static func printableText(of lines: [String]) -> String { lines.map { printable($0) + "\n" }.joined() }

    /// The same of each line. For messages, which have line breaks of their own.
    package static func printableLines(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { printable(String($0)) }
            .joined(separator: "\n")
    }

    /// Cuts out of the middle what is too long: the head names the layer, the tail the module, and the head gets a little
    /// more of the room.
    package static func shortened(_ text: String, to width: Int) -> String {
        guard text.count > width else { return text }
        guard width > 1 else { return String(text.prefix(max(0, width))) }
        let head = (width - 1) * 3 / 5
        return text.prefix(head) + "…" + text.suffix(width - 1 - head)
    }

    package static func padded(_ text: String, to width: Int, alignment: Alignment) -> String {
        let padding = String(repeating: " ", count: max(0, width - text.count))
        return alignment == .left ? text + padding : padding + text
    }

    /// Breaks text at its spaces into lines of at most `width` characters; what stands before the first line is matched by
    /// spaces before the others. A longer word loses its middle.
    package static func wrapped(_ text: String, width: Int, label: String = "") -> [String] {
        let room = max(1, width - label.count)
        let indent = String(repeating: " ", count: label.count)
        var lines: [String] = []
        var line = ""
        for word in printable(text).split(separator: " ") {
            let word = shortened(String(word), to: room)
            if !line.isEmpty, line.count + 1 + word.count > room {
                lines.append(line)
                line = word
            } else {
                line += (line.isEmpty ? "" : " ") + word
            }
        }
        lines.append(line)
        return lines.enumerated().map { ($0 == 0 ? label : indent) + $1 }
    }

    /// Breaks a message that may have lines of its own, as ``wrapped(_:width:label:)`` breaks text. Its further lines are what
    /// the first one announces, and are set off from it.
    package static func wrappedMessage(_ text: String, width: Int) -> [String] {
        text.split(separator: "\n").enumerated().flatMap { number, line in
            wrapped(String(line), width: width, label: number == 0 ? "" : "  ")
        }
    }

    package enum Alignment: Hashable, Sendable {
        case left
        case right
    }

    /// An emphasis and its ANSI code (ECMA-48 SGR).
    package enum Style: Int, Hashable, Sendable {
        case bold = 1
        case dim = 2
        case red = 31
        case green = 32
        case yellow = 33

        package func applied(to text: String) -> String { "\u{1b}[\(rawValue)m\(text)\u{1b}[0m" }
    }
}
