import Reports
import Tensors
import Testing

@Suite struct TerminalTests {
    @Test func aGoodMergeTellsItsStory() {
        #expect(
            Sample.goodMerge.terminalText() == """
                out/merged (bitsandbytes)

                module                            error  update  changed    kept  rounding
                model.layers.2.self_attn.v_proj  8.16 %  14.0 %   35.0 %  92.2 %  nearest
                model.layers.3.self_attn.v_proj  8.26 %  14.0 %   35.0 %  92.7 %  nearest
                model.layers.0.self_attn.v_proj  8.36 %  14.0 %   35.0 %  93.2 %  nearest
                model.layers.1.self_attn.v_proj  8.46 %  14.0 %   35.0 %  93.7 %  nearest
                model.layers.0.self_attn.q_proj  4.80 %  0.90 %   3.10 %  96.5 %  stochastic
                model.layers.3.mlp.gate_proj     4.81 %  0.92 %   3.17 %  96.6 %  stochastic
                model.layers.3.self_attn.k_proj  4.81 %  0.94 %   3.24 %  96.7 %  stochastic
                model.layers.2.mlp.up_proj       4.82 %  0.96 %   3.31 %  96.8 %  stochastic
                … and 20 more

                tensors  28 converted (rounding: 24 stochastic, 4 nearest), 10 copied unchanged
                size     42.5 M weights, 63.9 MB, 12.04 bits a weight, 4.13 in 4-bit tensors
                error    5.04 % overall, 4.91 % median, at most 8.46 % in
                         model.layers.1.self_attn.v_proj.weight
                update   2.74 % of the weights' norm, 93.9 % kept, 5.03 % of the codes changed,
                         least kept 92.2 % in model.layers.2.self_attn.v_proj.weight
                adapter  adapters/checkpoint-200, 28 modules
                run      0.31 s, peak memory 58.3 MiB, 2 threads

                The adapter survived: 93.9 % of the update was kept; 24 of 28 tensors rounded
                stochastically.

                """)
    }

    @Test func anErasedMergeTellsItsStory() {
        #expect(
            Sample.erasedMerge.terminalText() == """
                out/merged (bitsandbytes)

                module                            error  update  changed   kept  rounding
                model.layers.0.self_attn.q_proj  1.10 %  0.90 %  0.060 %  1.2 %  nearest
                model.layers.3.mlp.gate_proj     1.11 %  0.92 %  0.062 %  1.2 %  nearest
                model.layers.3.self_attn.k_proj  1.13 %  0.94 %  0.064 %  1.3 %  nearest
                model.layers.2.mlp.up_proj       1.14 %  0.96 %  0.066 %  1.4 %  nearest
                model.layers.2.self_attn.v_proj  1.16 %  0.99 %  0.068 %  1.4 %  nearest
                model.layers.1.mlp.down_proj     1.17 %  1.01 %  0.071 %  1.5 %  nearest
                model.layers.1.self_attn.o_proj  1.19 %  1.03 %  0.073 %  1.6 %  nearest
                model.layers.1.self_attn.q_proj  1.20 %  1.05 %  0.075 %  1.7 %  nearest
                … and 20 more

                tensors  28 converted (rounding: 28 nearest), 10 copied unchanged
                size     42.5 M weights, 63.9 MB, 12.04 bits a weight, 4.13 in 4-bit tensors
                error    1.30 % overall, 1.29 % median, at most 1.49 % in
                         model.layers.0.self_attn.o_proj.weight
                update   1.20 % of the weights' norm, 2.3 % kept, 0.089 % of the codes changed,
                         least kept 1.2 % in model.layers.0.self_attn.q_proj.weight
                adapter  adapters/checkpoint-200, 28 modules
                run      0.31 s, peak memory 58.3 MiB, 2 threads

                The adapter was erased: only 2.3 % of the update was kept, because 99.9 % of the
                4-bit codes stayed what they were. To keep it in 4 bit, give merge-in-4bit
                "rounding": "auto" and "scales": "base"; or merge into 16 bit with
                dequantize-merge.

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
            #expect(report.terminalText().split(separator: "\n", omittingEmptySubsequences: false).count <= 27)
        }
    }

    @Test func columnsStandUnderTheirTitles() throws {
        let lines = Sample.goodMerge.terminalText(width: 120).split(separator: "\n").map(Array.init)
        let header = try #require(lines.first { $0.starts(with: "module") })
        let rows = lines.drop { $0 != header }.dropFirst().prefix(8)
        #expect(rows.count == 8)
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
                Sample.quantized("model.layers.0.mlp.down_proj.weight", error: 0.101),
                Sample.untouched("model.norm.weight"),
            ])
        let report = ConversionReport(toolVersion: "0", spec: .null, inputs: [], outputs: [output])
        #expect(
            report.terminalText() == """
                out/nf4 (bitsandbytes)

                module                        stored as       error  SQNR dB  rounding
                model.layers.0.mlp.down_proj  bf16 → nf4+dq  10.1 %     19.9  nearest
                model.layers.0.mlp.up_proj    bf16 → nf4+dq  9.40 %     20.5  nearest

                tensors  2 converted (rounding: 2 nearest), 1 copied unchanged
                size     664 k weights, 1.33 MB → 343 kB, 16.00 → 4.14 bits a weight, 4.13 in
                         4-bit tensors
                error    9.76 % overall, 9.75 % median, at most 10.1 % in
                         model.layers.0.mlp.down_proj.weight

                2 of 3 tensors converted, with a relative error of 9.76 % (20.2 dB SQNR); the
                largest is 10.1 %, in model.layers.0.mlp.down_proj.weight.

                """)
    }
}
