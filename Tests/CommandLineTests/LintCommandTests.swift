import Foundation
import LosslessJSON
import TestSupport
import Testing

/// `qconv lint` through the built binary.
@Suite struct LintCommandTests {
    private func lint(_ arguments: [String]) throws -> QConvRun { try QConvRun(["lint"] + arguments) }

    @Test func aGoodAdapter() throws {
        for base in [TinyLlama.base4Bit, TinyLlama.base16Bit] {
            let run = try lint([TinyLlama.adapter(200), "--base", base, "--values"])
            #expect(run.status == 0, "\(run.output)\(run.errors)")
            #expect(
                run.output.hasSuffix(
                    "Nothing is doubtful: 28 modules, scaling 2.000, and all modules fit the base.\n"))
            #expect(run.output.split(separator: "\n").allSatisfy { $0.count <= 100 })
        }
    }

    @Test func headersTakeNoTime() throws {
        let start = ContinuousClock.now
        let run = try lint([TinyLlama.adapter(200), "--base", TinyLlama.base4Bit, "--quiet"])
        #expect(run.status == 0)
        #expect(run.output.isEmpty && run.errors.isEmpty)
        // Tenths of a second; the machine may be busy.
        #expect(ContinuousClock.now - start < .seconds(5))
    }

    @Test func theWrongBase() throws {
        let base = PackageFiles.root.appendingPathComponent("Tests/Fixtures/forensics/base.safetensors").path
        let run = try lint([TinyLlama.adapter(200), "--base", base])
        #expect(run.status == 1)
        #expect(run.output.contains("error     unmatched: model.layers.0-1.mlp.down_proj.weight: expected [192, 512]"))
        #expect(run.output.contains("doubtful  base-name-mismatch: "))
        #expect(
            run.output.hasSuffix(
                "The adapter cannot be merged as it is: unmatched. Besides, 1 finding is doubtful.\n"))
        let schema = try JSONSchema(PackageFiles.json("formats/lint.schema.json"))
        let document = try JSONValue(parsing: try lint([TinyLlama.adapter(200), "--base", base, "--json"]).output)
        #expect(schema.violations(in: document) == [])
        #expect(document["counts"]?["error"]?.int == 28)
        #expect(document["modules"]?.array?.count == 28)
        #expect(document["modules"]?.array?.first?["matched"]?.bool == false)
    }

    @Test(arguments: [
        (["nowhere"], "nowhere: cannot open"), ([TinyLlama.adapter(50), "--base", "nowhere"], "nowhere: cannot open"),
        ([TinyLlama.adapter(50) + "/adapter_config.json"], "not a directory"),
        ([TinyLlama.adapter(50), "--json", "--quiet"], "only one of"), ([], "Missing expected argument"),
    ])
    func badInput(arguments: [String], message: String) throws {
        let run = try lint(arguments)
        #expect(run.status == 2)
        #expect(run.errors.contains(message), "\(run.errors)")
        #expect(run.output.isEmpty)
    }
}
