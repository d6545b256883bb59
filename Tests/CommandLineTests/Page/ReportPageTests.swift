import Foundation
import LosslessJSON
import Reports
import TestSupport
import Testing

/// The page that `--html` and `"html"` write, in a real browser: what it shows and what it does when somebody uses it.
@Suite(.serialized, .enabled(if: Browser.isThere)) struct ReportPageTests {
    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
    }

    // MARK: - Pages

    /// Merges an adapter into the 4-bit model by nearest rounding, which erases it; the page is that of the pipeline.
    private func merged(report: String = #"{"html": "merge.html", "json": "merge.json"}"#) throws -> URL {
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit,
            steps: TinyLlama.attach(200) + #", {"op": "merge-in-4bit", "rounding": "nearest"}"#, report: report)
        let run = try QConvRun(["pipeline", spec, "--quiet"])
        try #require(run.status == 0, "\(run.errors)")
        return workspace["merge.html"]
    }

    /// The page of a comparison, and the same as JSON.
    private func compared(_ arguments: [String]) throws -> (page: URL, json: JSONValue) {
        let run = try QConvRun(["diff"] + arguments + ["--html", workspace.path("diff.html"), "--json"])
        try #require(run.status < 2, "\(run.errors)")
        return (workspace["diff.html"], try JSONValue(parsing: run.output))
    }

    private func comparedMerge() throws -> (page: URL, json: JSONValue) {
        _ = try merged()
        return try compared([TinyLlama.base4Bit, workspace.path("out"), "--adapter", TinyLlama.adapter(200)])
    }

    private func written(_ page: ReportPage, _ name: String = "page.html") throws -> URL {
        try workspace.write(page.html(), to: name)
        return workspace[name]
    }

    private func rows(_ browser: Browser) throws -> [[String]] {
        try browser.evaluate(PageProbe.tableRows).array?.map { $0.array?.compactMap(\.string) ?? [] } ?? []
    }

    /// The figures of a comparison, by tensor.
    private func figures(_ json: JSONValue, _ key: String) -> [String: Double] {
        (json["tensors"]?.array ?? []).reduce(into: [:]) { figures, tensor in
            if let name = tensor["name"]?.string { figures[name] = tensor[key]?.double }
        }
    }

    /// No error, and nothing asked for but the page itself.
    private func expectQuiet(_ browser: Browser, _ page: URL) {
        #expect(browser.problems == [])
        #expect(browser.requests == [page.absoluteString])
    }

    // MARK: - What it shows

    @Test func aComparisonIsShown() throws {
        let (page, json) = try comparedMerge()
        let browser = try Browser(page)
        #expect(try browser.texts("h1") == ["base-nf4 → out"])
        #expect(try browser.texts(".origins dt") == ["A", "B", "adapter"])
        // The conclusion comes first, and is the whole of what the terminal says.
        #expect(try browser.texts(".verdict .pill") == ["adapter erased"])
        let conclusion = try browser.texts(".verdict strong")[0]
        #expect(conclusion.hasPrefix("The second has lost the adapter: "))
        let text = try #require(json["verdict"]?["text"]?.string)
        #expect(text.hasPrefix(conclusion))
        #expect(try browser.texts(".verdict p").joined(separator: " ").hasSuffix(text.dropFirst(conclusion.count)))
        #expect(try browser.texts(".fact dt").first == "update kept")
        // Seven modules by four layers, four layers, all tensors together and seven modules, all tensors.
        #expect(try browser.count(".heat .field") == 28)
        #expect(try browser.texts(".heat tbody th").contains("self_attn.q_proj"))
        #expect(try browser.texts(".survival tbody th") == ["0", "1", "2", "3"])
        #expect(try browser.count("#errors figure svg") == 8)
        #expect(try rows(browser).count == 38)
        // Where it comes from: the hashes of both inputs.
        let hashes = json["inputs"]?.array?.compactMap { $0["header_sha256"]?.string } ?? []
        #expect(hashes.count == 2)
        let sources =
            try browser.evaluate("document.querySelector('[aria-labelledby=sources]').textContent").string ?? ""
        for hash in hashes { #expect(sources.contains(hash)) }
        expectQuiet(browser, page)
    }

    @Test func aConversionIsShown() throws {
        let page = try merged(
            report: #"{"html": "merge.html", "require": ["update_kept <= 1"], "fail_if": ["nonfinite_written > 0"]}"#)
        let browser = try Browser(page)
        #expect(try browser.texts(".verdict .pill") == ["adapter erased"])
        #expect(try browser.texts(".gate.passed").count == 2)
        #expect(try browser.count(".heat .field") == 28)
        #expect(try rows(browser).count == 38)
        let spec = try browser.evaluate("document.querySelector('pre').textContent").string ?? ""
        #expect(try JSONValue(parsing: spec)["steps"]?.array?.last?["op"]?.string == "merge-in-4bit")
        expectQuiet(browser, page)
    }

    @Test func severalOutputsComeWithAnOverview() throws {
        let spec = try workspace.spec(
            input: TinyLlama.base4Bit,
            steps: TinyLlama.attach(200)
                + #", {"op": "dequantize-merge"}, {"op": "save", "path": "dense"}, {"op": "requantize", "rounding": "nearest"}"#,
            report: #"{"html": "merge.html"}"#)
        let run = try QConvRun(["pipeline", spec, "--quiet"])
        try #require(run.status == 0, "\(run.errors)")
        let browser = try Browser(workspace["merge.html"])
        #expect(try browser.texts("#overview .pill") == ["adapter kept", "adapter erased"])
        #expect(try browser.count("#overview .strip i") == 8)
        #expect(try browser.texts(".verdict .pill") == ["adapter kept"])
        try browser.click("#overview tbody tr:nth-child(2) .name")
        #expect(try browser.texts(".verdict .pill") == ["adapter erased"])
        #expect(try browser.evaluate("document.querySelector('#section').value").string == "1")
        try browser.choose("dense", in: "#section")
        #expect(try browser.texts(".verdict .pill") == ["adapter kept"])
        #expect(try browser.count("#heat") == 1)
        expectQuiet(browser, workspace["merge.html"])
    }

    @Test func whatIsTheSameNeedsNoMap() throws {
        let (page, _) = try compared([TinyLlama.base4Bit, TinyLlama.base4Bit])
        let browser = try Browser(page)
        #expect(try browser.texts(".verdict .pill") == ["identical"])
        #expect(try browser.count("#heat, #survival, #errors") == 0)
        #expect(try rows(browser).count == 38)
        expectQuiet(browser, page)
        let empty = try written(SamplePages.page([SamplePages.section("nothing", rows: [])]))
        try browser.open(empty)
        #expect(try browser.texts(".verdict strong") == ["Half of it is left."])
        #expect(try browser.count("#tensors") == 0)
        expectQuiet(browser, empty)
    }

    // MARK: - What it does

    @Test func tensorsAreSorted() throws {
        let (page, json) = try comparedMerge()
        let browser = try Browser(page)
        func names() throws -> [String] { try rows(browser).map { $0[0] } }
        func sortedBy() throws -> [String] { try browser.texts("#tensors th[aria-sort]") }
        // At first what kept least of the update; what has none comes last.
        let kept = figures(json, "update_kept")
        let byKept = try names()
        #expect(byKept.prefix(28).map { kept[$0] ?? 2 } == kept.values.sorted())
        #expect(byKept.suffix(10).allSatisfy { kept[$0] == nil })
        #expect(try sortedBy() == ["update kept"])

        let errors = figures(json, "relative_error")
        try browser.click("#tensors thead th:nth-child(6) button")
        #expect(try sortedBy() == ["relative error"])
        #expect(try names().map { errors[$0] ?? -1 } == errors.values.sorted(by: >))
        try browser.click("#tensors thead th:nth-child(6) button")
        #expect(try names().map { errors[$0] ?? -1 } == errors.values.sorted())
        // A third press brings back the order of the model.
        try browser.click("#tensors thead th:nth-child(6) button")
        #expect(try sortedBy() == [])
        #expect(try names() == json["tensors"]?.array?.compactMap { $0["name"]?.string })
        try browser.click("#tensors thead th:nth-child(1) button")
        #expect(try names() == errors.keys.sorted())
        expectQuiet(browser, page)
    }

    @Test func tensorsAreFiltered() throws {
        let (page, json) = try comparedMerge()
        let browser = try Browser(page)
        func filter(_ text: String) throws -> [String] {
            try browser.evaluate("document.querySelector('#filter').select()")
            try browser.click("#filter")
            try browser.evaluate("document.querySelector('#filter').select()")
            try text.isEmpty ? browser.press("Delete", code: 46) : browser.type(text)
            return try rows(browser).map { $0[0] }
        }
        let all = figures(json, "relative_error").keys
        #expect(try Set(filter("mlp.up")) == Set(all.filter { $0.contains("mlp.up") }))
        #expect(try browser.texts("#tensors [role=status]") == ["4 of 38 tensors"])
        #expect(try Set(filter("*.1.self_attn.?_proj")) == Set(all.filter { $0.contains(".1.self_attn.") }))
        #expect(try filter("(").first == "No tensor has such a name and status.")
        #expect(try filter("").count == 38)
        try browser.choose("identical", in: "#status")
        #expect(try rows(browser).count == 10)
        #expect(try filter("norm").count == 9)

        // A press on a name opens its figures, all figures bring more columns.
        try browser.choose("all", in: "#status")
        #expect(try filter("layers.2.mlp.up_proj").count == 1)
        try browser.click("#tensors .name")
        #expect(try browser.texts("#tensors .opened h3") == ["model.layers.2.mlp.up_proj.weight"])
        #expect(try browser.count("#tensors .opened svg") == 1)
        let columns = try browser.count("#tensors thead th")
        try browser.click("#all-figures")
        #expect(try browser.count("#tensors thead th") == columns + 7)
        expectQuiet(browser, page)
    }

    @Test func theHeatMapShowsAnyFigure() throws {
        let (page, json) = try comparedMerge()
        let browser = try Browser(page)
        func values() throws -> [String: String] {
            let fields = try browser.evaluate(
                "[...document.querySelectorAll('.heat .field')].map((field) => [field.dataset.tensor, field.innerText, field.getAttribute('aria-label')])"
            )
            return (fields.array ?? []).reduce(into: [:]) { values, field in
                values[field.array?[0].string ?? ""] = "\(field.array?[1].string ?? "")|\(field.array?[2].string ?? "")"
            }
        }
        let kept = figures(json, "update_kept")
        let shown = try values()
        #expect(shown.count == 28)
        for (name, value) in kept {
            #expect(shown[name]?.hasPrefix("\(Int((value * 100).rounded(.down)))|") == true, "\(name) \(value)")
        }
        #expect(try browser.count(".legend .ramp") == 3)

        try browser.choose("relative error", in: "#metric")
        let errors = figures(json, "relative_error")
        for (name, text) in try values() where kept[name] != nil {
            let percentage = (errors[name] ?? 0) * 100
            let number = Double(text.prefix { $0 != "|" })
            #expect(abs((number ?? -1) - percentage) <= 0.051, "\(name) \(text) \(percentage)")
            #expect(text.hasSuffix(" %") && text.contains("relative error"))
        }
        #expect(try browser.count(".legend .ramp") == 1)

        // The mouse shows a tensor's figures, a press keeps them.
        try browser.hover("[data-tensor='model.layers.2.mlp.up_proj.weight']")
        #expect(try browser.texts("#heat .detail h3") == ["model.layers.2.mlp.up_proj.weight"])
        try browser.click("[data-tensor='model.layers.1.mlp.up_proj.weight']")
        try browser.hover("h1")
        #expect(try browser.texts("#heat .detail h3") == ["model.layers.1.mlp.up_proj.weight"])
        #expect(try browser.count(".field[aria-pressed=true]") == 1)
        try browser.click("#heat .detail .button")
        #expect(try rows(browser).map { $0[0] } == ["model.layers.1.mlp.up_proj.weight"])
        #expect(try browser.count("#tensors .opened") == 1)
        expectQuiet(browser, page)
    }

    @Test func theKeyboardReachesEverything() throws {
        let (page, _) = try comparedMerge()
        let browser = try Browser(page)
        func focused() throws -> String {
            try browser.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.id")
                .string ?? ""
        }
        try browser.evaluate("document.querySelector('#metric').focus()")
        // One stop for the whole map.
        try browser.press("Tab", code: 9)
        #expect(try focused().hasPrefix("layer 0, mlp.down_proj: update kept "))
        try browser.press("ArrowRight", code: 39)
        try browser.press("ArrowDown", code: 40)
        #expect(try focused().hasPrefix("layer 1, mlp.gate_proj: "))
        #expect(try browser.texts("#heat .detail h3") == ["model.layers.1.mlp.gate_proj.weight"])
        try browser.press("End", code: 35)
        #expect(try focused().hasPrefix("layer 3, mlp.gate_proj: "))
        try browser.press("ArrowRight", code: 39)
        #expect(try focused().hasPrefix("layer 3, mlp.gate_proj: "))
        try browser.press("Enter", code: 13)
        #expect(try browser.count(".field[aria-pressed=true]") == 1)
        try browser.press("Tab", code: 9)
        #expect(try browser.texts(":focus") == ["Find in the table"])
        try browser.press("Enter", code: 13)
        #expect(try browser.texts("#tensors .opened h3") == ["model.layers.3.mlp.gate_proj.weight"])
        #expect(try browser.count("#tensors .name:focus") == 1)
        expectQuiet(browser, page)
    }

    // MARK: - What it looks like

    @Test(arguments: Browser.Theme.allCases) func everyTextIsReadable(theme: Browser.Theme) throws {
        _ = try merged()
        let (page, _) = try compared([
            TinyLlama.base4Bit, workspace.path("out"), "--adapter", TinyLlama.adapter(200), "--fail-if", "missing > 0",
            "--fail-if", "update_kept < 0.9",
        ])
        let browser = try Browser(page, theme: theme)
        func expectReadable(_ state: String) throws {
            let found = try browser.evaluate(PageProbe.weakTexts)
            #expect(found["weak"]?.array == [], "\(state)")
            #expect((found["seen"]?.int ?? 0) > 200)
        }
        try browser.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        try browser.click("#tensors .name")
        try browser.click("#all-figures")
        try expectReadable("everything open")
        for label in try browser.texts("#metric option") {
            try browser.choose(label, in: "#metric")
            try expectReadable(label)
        }
        // Who changes the theme with the page open gets the other's colours.
        let other: Browser.Theme = theme == .light ? .dark : .light
        try browser.set(other)
        try expectReadable("changed to \(other)")
        expectQuiet(browser, page)
        try browser.set(theme)
        try browser.open(written(SamplePages.large()))
        try expectReadable("many layers")
        // The measure itself: grey on grey is found.
        try browser.evaluate("document.querySelector('h1').style.cssText = 'color: #777777; background: #888888'")
        #expect(try browser.evaluate(PageProbe.weakTexts)["weak"]?.array?.count == 1)
    }

    @Test func nothingSticksOut() throws {
        let long = ["q_proj.\(String(repeating: "a_wrapper_of_", count: 12))wrapper", "k_proj"]
        let prefix = String(repeating: "base_model.", count: 10)
        let pages = [
            try comparedMerge().page,
            try written(SamplePages.large(), "large.html"),
            try written(SamplePages.large(layers: 3, modules: long, prefix: prefix), "long.html"),
        ]
        let browser = try Browser(pages[0], width: 400, height: 800)
        for page in pages {
            try browser.open(page)
            try browser.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
            try browser.click("#tensors .name")
            for width in [400, 320, 1200] {
                try browser.resize(width: width, height: 800)
                let found = try browser.evaluate(PageProbe.overhanging)
                #expect(found["pageWidth"]?.int == width, "\(page.lastPathComponent)")
                #expect(found["found"]?.array == [], "\(page.lastPathComponent)")
            }
            expectQuiet(browser, page)
        }
        // The measure itself: something wide is found.
        try browser.evaluate(
            "document.body.append(Object.assign(document.createElement('p'), { style: 'width: 1300px' }))")
        #expect(try browser.evaluate(PageProbe.overhanging)["found"]?.array?.count == 1)
    }

    @Test func manyLayersFit() throws {
        let page = try written(SamplePages.large())
        let browser = try Browser(page)
        #expect(try browser.count(".heat .field") == 560)
        #expect(try browser.count("#survival .bars > div") == 80)
        // The whole map is in view without scrolling.
        let map = try browser.evaluate(
            "(() => { const box = document.querySelector('.scroll:has(.heat)'); return { own: box.scrollWidth, room: box.clientWidth, height: box.offsetHeight }; })()"
        )
        #expect((map["own"]?.int ?? 0) <= (map["room"]?.int ?? 0))
        #expect((map["height"]?.int ?? 1000) < 300)
        // The table shows a part, and more when asked.
        #expect(try rows(browser).count == 300)
        try browser.click("#tensors > div > div > .button")
        #expect(try rows(browser).count == 562)
        expectQuiet(browser, page)
    }

    @Test func namesAreOnlyText() throws {
        let evil = #"</script><img src="https://example.com/x.png" onerror="alert(1)">&amp;<b>"#
        let rows = [
            SamplePages.row(evil, kept: 0.5, error: 0.1),
            SamplePages.row("model.layers.0.\(evil)", kept: 0.1, error: 0.2),
        ]
        let page = try written(SamplePages.page([SamplePages.section(evil, rows: rows, verdict: evil)], title: evil))
        let browser = try Browser(page)
        #expect(try browser.count("img, .verdict b") == 0)
        #expect(try browser.texts("h1") == [evil])
        #expect(try browser.texts(".verdict strong") == [evil])
        #expect(try browser.count("#tensors tbody tr") == 2)
        expectQuiet(browser, page)
    }
}
