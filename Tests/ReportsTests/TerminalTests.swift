import Reports
import Tensors
import Testing

@Suite struct TerminalTests {
    @Test func aGoodMergeTellsItsStory() {
        #expect(
            Sample.goodMerge.terminalText() == """
                X
                """)
    }

    @Test func anErasedMergeTellsItsStory() {
        #expect(
            Sample.erasedMerge.terminalText() == """
                Y
                """)
    }

    @Test(arguments: [Sample.goodMerge, Sample.erasedMerge], [0, 40, 53, 60, 72, 80, 100, 132, 300])
    func everyLineFitsTheWidth(report: ConversionReport, width: Int) {
        for line in report.terminalText(width: width).split(separator: "\n") {
            #expect(line.count <= max(40, width), "\(line)")
        }
    }

    @Test func aMergeFitsAScreen() {
        for report in [Sample.goodMerge, Sample.erasedMerge] {
            #expect(report.terminalText().split(separator: "\n", omittingEmptySubsequences: false).count <= 28)
        }
    }

    @Test func columnsStandUnderTheirTitles() throws {
        let lines = Sample.goodMerge.terminalText(width: 120).split(separator: "\n").map(Array.init)
        let header = try #require(lines.first { $0.starts(with: "module") })
        let rows = lines.drop { $0 != header }.dropFirst().prefix(10)
        #expect(rows.count == 10)
        // Right-aligned cells end where their titles end.
        for title in ["error", "SQNR dB", "update", "changed", "kept"] {
            let end = try #require(String(header).range(of: title)).upperBound
            let column = String(header).distance(from: String(header).startIndex, to: end)
            for row in rows {
                #expect(row[column - 1] != " " && row[column] == " ", "\(title) in \(String(row))")
            }
        }
    }

    @Test func theTableIsWorstFirst() {
        // The error alone would put the erased tensor last.
        let report = Sample.report([
            Sample.merged("a.weight", kept: 0.98, error: 0.05), Sample.merged("b.weight", kept: 0.02, error: 0.01),
            Sample.merged("c.weight", kept: 0.98, error: 0.06), Sample.quantized("d.weight", error: 0.2),
            Sample.merged("Z.weight", kept: 0.98, error: 0.05),
        ])
        let listed = report.terminalText().split(separator: "\n").compactMap { line in
            line.split(separator: " ").first.flatMap { ["a", "b", "c", "d", "Z"].contains($0) ? String($0) : nil }
        }
        #expect(listed == ["b", "c", "Z", "a", "d"])
    }

    @Test func whatDoesNotApplyIsDashed() {
        let report = Sample.report([Sample.merged("a", kept: 1, error: 0.01), Sample.quantized("b", error: 0.1)])
        let row = report.terminalText().split(separator: "\n").first { $0.hasPrefix("b ") }
        #expect(row?.contains("--") == true)
    }

    @Test func rowsAreLimited() {
        #expect(Sample.goodMerge.terminalText(rows: 3).contains("… and 25 more\n"))
        #expect(!Sample.goodMerge.terminalText(rows: 28).contains("more\n"))
        #expect(!Sample.goodMerge.terminalText(rows: 0).contains("module "))
    }

    @Test func nothingInAFileReachesTheTerminal() {
        let name = "evil\u{1b}[2J\u{202e}\r\n.weight"
        let output = OutputReport(path: name, format: "x", tensors: [Sample.merged(name, kept: 0, error: 0)])
        let report = ConversionReport(
            toolVersion: "0", spec: .null, inputs: [],
            adapters: [AdapterReport(path: name, weight: 0.5, modulesMatched: 1)], outputs: [output], warnings: [name])
        let text = report.terminalText()
        let forbidden = text.unicodeScalars.filter {
            $0 != "\n" && [.control, .format].contains($0.properties.generalCategory)
        }
        #expect(forbidden.isEmpty)
        #expect(text.contains("evil\\u{1b}[2J\\u{202e}\\u{d}\\u{a}"))
        #expect(text.contains("1 module, weight 0.500"))
    }

    @Test(arguments: [60, 80, 120]) func stylesChangeNoCharacter(width: Int) {
        for report in [Sample.goodMerge, Sample.erasedMerge] {
            let styled = report.terminalText(width: width, styled: true)
            #expect(styled.contains("\u{1b}[31m") == (report == Sample.erasedMerge))
            #expect(styled.contains("\u{1b}[32m") == (report == Sample.goodMerge))
            #expect(styled.replacing(/\u{1b}\[\d+m/, with: "") == report.terminalText(width: width))
            #expect(!report.terminalText(width: width).contains("\u{1b}"))
        }
    }

    @Test func aQuantizedModel() {
        let output = OutputReport(
            path: "out/nf4", format: "bitsandbytes",
            tensors: [
                Sample.quantized("model.layers.0.mlp.up_proj.weight", error: 0.094),
                Sample.quantized("model.layers.0.mlp.down_proj.weight", error: 0.101), Sample.untouched("model.norm.weight"),
            ])
        let report = ConversionReport(toolVersion: "0", spec: .null, inputs: [], outputs: [output])
        #expect(
            report.terminalText() == """
                Q
                """)
    }
}
