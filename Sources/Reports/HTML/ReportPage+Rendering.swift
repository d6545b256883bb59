import LosslessJSON

extension ReportPage {
    /// The page.
    public func html() -> String {
        """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
        <title>\(HTMLText.escaped("\(title) · \(command)"))</title>
        <style>
        \(PageStyle.text)
        </style>
        </head>
        <body>
        <header>
        <p class="command">\(HTMLText.escaped(command))</p>
        <h1>\(HTMLText.escaped(title))</h1>
        \(originList)</header>
        <main>
        \(gateList)\(noticeList)<noscript><p class="notice">The charts and the table of this page need JavaScript.</p>
        \(sections.map { "<p>\(HTMLText.escaped("\($0.name): \($0.verdict.joined(separator: " "))"))</p>" }.joined(separator: "\n"))</noscript>
        <div id="app"></div>
        \(appendix)</main>
        <footer>\(HTMLText.escaped(footer))</footer>
        <script type="application/json" id="data">\(HTMLText.embedded(data))</script>
        <script>
        \(PageScript.text)
        </script>
        </body>
        </html>

        """
    }

    private var originList: String {
        guard !origins.isEmpty else { return "" }
        let items = origins.map { "<dt>\(HTMLText.escaped($0.title))</dt><dd>\(HTMLText.escaped($0.text))</dd>" }
        return "<dl class=\"origins\">\n\(items.joined(separator: "\n"))\n</dl>\n"
    }

    private var noticeList: String {
        notices.map { "<p class=\"notice\">\(HTMLText.escaped($0))</p>\n" }.joined()
    }

    private var gateList: String {
        guard !gates.isEmpty else { return "" }
        let items = gates.map { result in
            let kind = result.hasPassed ? "passed" : "failed"
            return "<li class=\"gate \(kind)\">\(HTMLText.escaped(result.text(limit: 4)))</li>"
        }
        return "<ul class=\"gates\" aria-label=\"Gates\">\n\(items.joined(separator: "\n"))\n</ul>\n"
    }

    private var appendix: String {
        var parts = documents.map { document in
            """
            <details><summary>\(HTMLText.escaped(document.title))</summary>
            <pre tabindex="0">\(HTMLText.escaped(document.text))</pre></details>
            """
        }
        if !inputs.isEmpty { parts.append(inputTable) }
        guard !parts.isEmpty else { return "" }
        return """
            <section class="panel" aria-labelledby="sources"><h2 id="sources">Where this comes from</h2>
            \(parts.joined(separator: "\n"))
            </section>

            """
    }

    private var inputTable: String {
        let rows = inputs.map { input in
            """
            <tr><th scope="row">\(HTMLText.escaped(input.path))</th><td>\(NumberText.bytes(input.size))</td>\
            <td><code>\(input.sha256 ?? input.headerSHA256)</code>\(input.sha256 == nil ? " (header)" : "")</td></tr>
            """
        }
        return """
            <details><summary>\(counted(inputs.count, "input file"))</summary>
            <div class="scroll" tabindex="0" role="region" aria-label="Input files"><table class="plain">
            <thead><tr><th scope="col">File</th><th scope="col">Size</th><th scope="col">SHA-256</th></tr></thead>
            <tbody>
            \(rows.joined(separator: "\n"))
            </tbody></table></div></details>
            """
    }
}

/// Text that goes into a page. It comes from files that nobody vouches for.
enum HTMLText {
    /// Text as the content of an element or the value of a quoted attribute.
    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// A document as the content of a script element: no `</script>`, `<!--` or `]]>` can appear in it.
    static func embedded(_ document: JSONValue) -> String {
        var result = ""
        for scalar in document.serialized().unicodeScalars {
            switch scalar {
            case "<": result += "\\u003c"
            case ">": result += "\\u003e"
            case "&": result += "\\u0026"
            case "\u{2028}": result += "\\u2028"
            case "\u{2029}": result += "\\u2029"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
