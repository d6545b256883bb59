import Comparison
import Foundation
import LosslessJSON
import SystemPackage
import TestSupport
import Testing

/// Merges that PEFT made, right and wrong ones (Tests/Fixtures/forensics/make_forensics.py and, all right,
/// Tests/Fixtures/merges/make_merges.py).
@Suite struct ForensicsFixtureTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let base: FilePath
        let adapter: FilePath
        let merged: FilePath
        /// The verdict of every module (or tensor) that is not right.
        let wrong: [String: String]

        var testDescription: String { name }
    }

    static func cases(in directory: String, list: String) throws -> [Case] {
        let folder = PackageFiles.root.appendingPathComponent("Tests/Fixtures/\(directory)")
        func path(_ value: JSONValue?) -> FilePath {
            FilePath(folder.appendingPathComponent(value?.string ?? "").path)
        }
        let document = try PackageFiles.json("Tests/Fixtures/\(directory)/\(list)")
        return (document["cases"]?.array ?? []).map { entry in
            let wrong = (entry["wrong"]?.object ?? [:]).map { ($0.key, $0.value.string ?? "") }
            return Case(
                name: entry["name"]?.string ?? "", base: path(entry["base"]), adapter: path(entry["adapter"]),
                merged: path(entry["merged"] ?? entry["expected"]), wrong: Dictionary(uniqueKeysWithValues: wrong))
        }
    }

    static func explain(_ test: Case, threads: Int? = nil, memory: Int? = nil) throws -> MergeExplanation {
        var options = ComparisonOptions()
        options.adapter = test.adapter
        options.threads = threads
        if let memory { options.memory = memory }
        return try MergeExplainer(
            base: ComparedModel(path: test.base), merged: ComparedModel(path: test.merged), options: options
        ).run()
    }

    /// What is wrong but for tensors that are not there: the fixtures hold only what a merge changes.
    private static func wrong(_ explanation: MergeExplanation) -> [String: String] {
        let found = explanation.wrong.filter { $0.outcome != .missingTensor }.map {
            ($0.module?.name ?? $0.name, $0.outcome.rawValue)
        }
        return Dictionary(uniqueKeysWithValues: found)
    }

    @Test(arguments: try cases(in: "forensics", list: "expected.json"))
    func whatWentWrongIsNamed(test: Case) throws {
        let explanation = try ForensicsFixtureTests.explain(test)
        #expect(explanation.modules.count == 8)
        #expect(ForensicsFixtureTests.wrong(explanation) == test.wrong)
        #expect(explanation.tensors.allSatisfy { ($0.outcome == .missingTensor) == ($0.merged == nil) })
    }

    /// PEFT's merges into bf16, f16, f32 and, of a large update, in 4 bit: NF4 and FP4, with and without double quantization.
    @Test(arguments: try cases(in: "merges", list: "manifest.json"))
    func rightMergesAreRight(test: Case) throws {
        let explanation = try ForensicsFixtureTests.explain(test)
        #expect(explanation.modules.count == 4)
        #expect(ForensicsFixtureTests.wrong(explanation) == [:])
    }

    @Test func theFixturesAreBrokenInManyWays() throws {
        let cases = try ForensicsFixtureTests.cases(in: "forensics", list: "expected.json")
        let verdicts = Set(cases.flatMap(\.wrong.values))
        #expect(verdicts.count >= 13)
        #expect(try ForensicsFixtureTests.cases(in: "merges", list: "manifest.json").count >= 10)
    }

    @Test func theOtherModuleIsNamed() throws {
        let test = try #require(
            try ForensicsFixtureTests.cases(in: "forensics", list: "expected.json").first { $0.name == "swapped" })
        let explanation = try ForensicsFixtureTests.explain(test)
        for layer in 0...1 {
            let name = "model.layers.\(layer).self_attn.q_proj"
            let found = try #require(explanation.modules.first { $0.module?.name == name })
            #expect(found.otherModule == "model.layers.\(1 - layer).self_attn.q_proj")
            #expect(isClose(found.otherFit?.ratio, 1, relative: 0.01))
        }
    }

    @Test(arguments: ["right", "swapped", "transposed", "nearest-4bit", "another-besides"])
    func figuresDoNotDependOnThreadsOrMemory(name: String) throws {
        let test = try #require(
            try ForensicsFixtureTests.cases(in: "forensics", list: "expected.json").first { $0.name == name })
        let reference = try ForensicsFixtureTests.explain(test, threads: 1)
        for (threads, memory) in [(2, 256 << 20), (7, 64 << 20), (3, 2 << 20)] {
            let other = try ForensicsFixtureTests.explain(test, threads: threads, memory: memory)
            #expect(other.tensors == reference.tensors)
            #expect(other.json == reference.json)
        }
    }

    @Test func tooLittleMemoryIsAnError() throws {
        let test = try #require(try ForensicsFixtureTests.cases(in: "forensics", list: "expected.json").first)
        #expect(throws: ComparisonError.self) { try ForensicsFixtureTests.explain(test, memory: 1000) }
    }
}
