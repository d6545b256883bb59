import Adapters
import Foundation
import Lint
import LosslessJSON
import SystemPackage
import Tensors
import TestSupport
import Testing

/// Every finding, provoked on its own.
@Suite struct LintTests {
    /// What makes an adapter doubtful, and the findings that it must give, and no others.
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let expected: [LintCode]
        let subject: String?
        var readsValues = true
        let prepare: @Sendable (AdapterFolder) throws -> Void

        init(
            _ name: String, _ expected: [LintCode], subject: String? = nil, readsValues: Bool = true,
            _ prepare: @escaping @Sendable (AdapterFolder) throws -> Void
        ) {
            self.name = name
            self.expected = expected
            self.subject = subject
            self.readsValues = readsValues
            self.prepare = prepare
        }

        var testDescription: String { name }
    }

    private static let q0 = "model.layers.0.self_attn.q_proj"

    static let cases: [Case] = [
        Case("nothing", []) { try $0.write() },
        Case("no configuration", [.noConfiguration]) {
            try $0.write()
            try FileManager.default.removeItem(at: $0.file("adapter_config.json"))
        },
        Case("no weights", [.noWeights]) {
            try $0.write()
            try FileManager.default.removeItem(at: $0.file("adapter_model.safetensors"))
        },
        Case("broken JSON", [.malformedConfiguration]) {
            try $0.write()
            try Data("{".utf8).write(to: $0.file("adapter_config.json"))
        },
        Case("broken weights", [.malformedWeights]) {
            try $0.write()
            try Data("nonsense that is no safetensors file".utf8).write(to: $0.file("adapter_model.safetensors"))
        },
        Case("no tensors", [.noTensors]) {
            $0.tensors = []
            try $0.write()
        },
        Case("another method", [.unsupportedMethod], subject: "peft_type") {
            $0.configuration["peft_type"] = "VERA"
            try $0.write()
        },
        Case("a missing field", [.missingField], subject: "r") {
            $0.configuration["r"] = nil
            try $0.write()
        },
        Case("a wrong value", [.wrongValue], subject: "use_rslora") {
            $0.configuration["use_rslora"] = "yes"
            try $0.write()
        },
        Case("a number as a string", [.wrongValue], subject: "lora_alpha") {
            $0.configuration["lora_alpha"] = "16"
            try $0.write()
        },
        Case(
            "a rank that no module has",
            [.inconsistentTensors, .inconsistentTensors, .inconsistentTensors, .inconsistentTensors]
        ) {
            $0.configuration["r"] = 3
            try $0.write()
        },
        Case("an unreadable pattern", [.unreadablePattern], subject: "exclude_modules") {
            $0.configuration["exclude_modules"] = "("
            try $0.write()
        },
        Case("a feature that cannot be merged", [.unsupportedField], subject: "alora_invocation_tokens") {
            $0.configuration["alora_invocation_tokens"] = [1, 2]
            try $0.write()
        },
        Case("an unknown field", [.unknownField], subject: "use_magic") {
            $0.configuration["use_magic"] = true
            try $0.write()
        },
        Case("PiSSA", [.changedBase], subject: "init_lora_weights") {
            $0.configuration["init_lora_weights"] = "pissa"
            try $0.write()
        },
        Case("patterns that match nothing", [.idlePattern, .idlePattern]) {
            $0.configuration["rank_pattern"] = ["k_proj": 4]
            $0.configuration["alpha_pattern"] = ["layers.7": 4]
            try $0.write()
        },
        Case("a target without factors", [.idleTarget], subject: "target_modules") {
            $0.configuration["target_modules"] = ["q_proj", "up_proj", "v_proj"]
            try $0.write()
        },
        Case("no name of a base", [.noBaseName]) {
            $0.configuration["base_model_name_or_path"] = nil
            try $0.write()
        },
        Case("a tensor of another kind", [.unsupportedTensor], subject: "base_model.model.\(q0).lora_diag") {
            $0.tensors.append(.init(name: "base_model.model.\(q0).lora_diag", shape: [2]))
            try $0.write()
        },
        Case("a wrong rank", [.inconsistentTensors]) {
            $0.tensors[0].shape = [3, 8]
            $0.tensors[1].shape = [6, 3]
            try $0.write()
        },
        Case("mixed dtypes", [.mixedDTypes], subject: "base_model.model.\(q0).lora_A.weight") {
            $0.tensors[0].dtype = "BF16"
            $0.tensors[0].bytes = [0x80, 0x3F]
            try $0.write()
        },
        Case("a whole tensor in the base's dtype", []) {
            $0.configuration["modules_to_save"] = ["embed_tokens"]
            $0.tensors.append(
                .init(
                    name: "base_model.model.model.embed_tokens.weight", dtype: "BF16", shape: [16, 8],
                    bytes: [0x80, 0x3F]))
            try $0.write()
        },
        Case("a layer without factors", [.missingLayers, .targetWithoutFactors]) {
            $0.appendLayer(2)
            $0.tensors.removeSubrange(4..<6)
            try $0.write()
        },
        Case("half of the layers without factors", [.targetWithoutFactors]) {
            // As a model has them whose layers are of two kinds, by turns.
            $0.tensors.removeSubrange(4..<6)
            try $0.write()
        },
        Case("no scaling", [.zeroScaling, .zeroScaling, .zeroScaling, .zeroScaling]) {
            $0.configuration["lora_alpha"] = 0
            try $0.write()
        },
        Case("much scaling", [.largeScaling], subject: "model.layers.1.mlp.up_proj") {
            $0.configuration["alpha_pattern"] = ["1.mlp.up_proj": 512]
            try $0.write()
        },
        Case("negative scaling", [.largeScaling], subject: "model.layers.1.mlp.up_proj") {
            $0.configuration["alpha_pattern"] = ["1.mlp.up_proj": -4]
            try $0.write()
        },
        Case("much scaling for float16", [.largeScaling], subject: "model.layers.1.mlp.up_proj") {
            $0.configuration["alpha_pattern"] = ["1.mlp.up_proj": 64]
            $0.baseConfiguration?["dtype"] = "float16"
            try $0.write()
        },
        Case("factors as large as the weight", [.fullRank, .fullRank]) {
            $0.configuration["rank_pattern"] = ["q_proj": 6]
            for index in [0, 4] {
                $0.tensors[index].shape = [6, 8]
                $0.tensors[index + 1].shape = [6, 6]
            }
            try $0.write()
        },
        Case("names with the adapter's name and torch.compile's wrapper", [.renamedTensors]) {
            for index in $0.tensors.indices {
                $0.tensors[index].name = $0.tensors[index].name
                    .replacingOccurrences(of: ".weight", with: ".default.weight")
                    .replacingOccurrences(of: "layers.", with: "_orig_mod.layers.")
            }
            try $0.write()
        },
        Case("a base with other names", [.renamedModules]) {
            for index in $0.baseTensors.indices {
                $0.baseTensors[index].name.replace("model.", with: "model.language_model.")
            }
            try $0.write()
        },
        Case("a module that the base lacks", [.unmatched], subject: "\(q0).weight") {
            $0.baseTensors.remove(at: 0)
            try $0.write()
        },
        Case("a weight of another shape", [.unmatched], subject: "\(q0).weight") {
            $0.baseTensors[0].shape = [6, 9]
            try $0.write()
        },
        Case("a module of the base without factors", [.targetWithoutFactors], subject: "model.layers.2.mlp.up_proj") {
            $0.baseTensors.append(.init(name: "model.layers.2.mlp.up_proj.weight", shape: [10, 8]))
            try $0.write()
        },
        Case("another base", [.baseNameMismatch]) {
            $0.configuration["base_model_name_or_path"] = "org/other-base"
            try $0.write()
        },
        Case("a base that cannot be decoded", [.foreignQuantization]) {
            $0.baseConfiguration?["quantization_config"] = ["quant_method": "gptq", "bits": 4]
            try $0.write()
        },
        Case("tied embeddings", [.idleTarget, .tiedEmbeddings]) {
            $0.baseConfiguration?["tie_word_embeddings"] = true
            $0.configuration["target_modules"] = ["q_proj", "up_proj", "lm_head", "nothing"]
            $0.tensors.append(.init(name: "base_model.model.lm_head.lora_A.weight", shape: [2, 8]))
            $0.tensors.append(.init(name: "base_model.model.lm_head.lora_B.weight", shape: [16, 2]))
            try $0.write()
        },
        Case("a grown vocabulary", [.grownVocabulary, .unmatched]) {
            $0.configuration["target_modules"] = ["q_proj", "up_proj", "lm_head"]
            $0.baseTensors.append(.init(name: "lm_head.weight", shape: [16, 8]))
            $0.tensors.append(.init(name: "base_model.model.lm_head.lora_A.weight", shape: [2, 8]))
            $0.tensors.append(.init(name: "base_model.model.lm_head.lora_B.weight", shape: [20, 2]))
            try $0.write()
        },
        Case("NaN", [.notFinite], subject: "base_model.model.\(q0).lora_A.weight") {
            $0.tensors[0].value = .nan
            try $0.write()
        },
        Case("infinity", [.notFinite], subject: "base_model.model.\(q0).lora_B.weight") {
            $0.tensors[1].value = .infinity
            try $0.write()
        },
        Case("NaN that nobody looks for", [], readsValues: false) {
            $0.tensors[0].value = .nan
            try $0.write()
        },
        Case("not trained", [.neverTrained], subject: "base_model.model.\(q0).lora_B.weight") {
            $0.tensors[1].value = 0
            try $0.write()
        },
        Case("a factor of zeros", [.zeroFactor], subject: "base_model.model.\(q0).lora_A.weight") {
            $0.tensors[0].value = 0
            try $0.write()
        },
    ]

    @Test(arguments: cases)
    func everyFindingComesAlone(test: Case) throws {
        let folder = try AdapterFolder()
        try test.prepare(folder)
        let lint = try AdapterLint(
            directory: folder.adapter, base: folder.base, readsValues: test.readsValues, threads: 2)
        #expect(lint.findings.map(\.code.rawValue).sorted() == test.expected.map(\.rawValue).sorted())
        if let subject = test.subject { #expect(lint.findings.first?.subject == subject) }
        #expect(lint.isClean == test.expected.allSatisfy { $0.severity == .note })
        let schema = try JSONSchema(PackageFiles.json("formats/lint.schema.json"))
        #expect(schema.violations(in: lint.json) == [])
        for width in [40, 100] {
            let text = lint.terminalText(width: width)
            #expect(text.split(separator: "\n").allSatisfy { $0.count <= width })
            for code in test.expected { #expect(lint.terminalText(width: 400).contains(code.rawValue + ":")) }
        }
    }

    @Test func everyCodeIsTestedAndDocumented() throws {
        // What only an adapter of the future can provoke.
        let untested: Set<LintCode> = [.refused]
        #expect(Set(LintTests.cases.flatMap(\.expected)).union(untested) == Set(LintCode.allCases))
        let page = try String(
            contentsOf: PackageFiles.root.appendingPathComponent("formats/lint.md"), encoding: .utf8)
        for code in LintCode.allCases {
            #expect(page.contains("| `\(code.rawValue)` | \(code.severity.rawValue) |"), "\(code.rawValue)")
        }
    }

    @Test func allProblemsAreCollected() throws {
        let folder = try AdapterFolder()
        folder.configuration["use_rslora"] = "yes"
        folder.configuration["lora_alpha"] = nil
        folder.configuration["use_magic"] = true
        folder.configuration["alora_invocation_tokens"] = [1]
        folder.configuration["init_lora_weights"] = "olora"
        folder.configuration["exclude_modules"] = "("
        folder.configuration["base_model_name_or_path"] = "somewhere/else"
        folder.tensors[1].shape = [6, 3]
        folder.tensors[3].value = 0
        folder.tensors.append(.init(name: "base_model.model.x.lora_diag", shape: [2]))
        folder.baseTensors.removeLast()
        folder.baseTensors.removeLast()
        try folder.write()
        let lint = try AdapterLint(directory: folder.adapter, base: folder.base, readsValues: true)
        let expected: Set<LintCode> = [
            .wrongValue, .missingField, .unknownField, .unsupportedField, .changedBase, .unreadablePattern,
            .baseNameMismatch, .inconsistentTensors, .neverTrained, .unsupportedTensor, .unmatched,
        ]
        #expect(Set(lint.findings.map(\.code)) == expected)
        // What is left is still told.
        #expect(lint.modules.map(\.module.name).contains("model.layers.0.mlp.up_proj"))
        // Errors come first.
        let severities = lint.findings.map(\.severity)
        let sorted = LintCode.Severity.allCases.flatMap { severity in severities.filter { $0 == severity } }
        #expect(severities == sorted)
    }

    /// What stands in for a wrong value is not told as if the file said it.
    @Test func standInsAreNotTold() throws {
        let folder = try AdapterFolder()
        folder.configuration["lora_alpha"] = "16"
        try folder.write()
        let lint = try AdapterLint(directory: folder.adapter)
        #expect(lint.modules.count == 4)
        #expect(lint.modules.allSatisfy { $0.alpha == nil && $0.scaling == nil })
        #expect(lint.json["modules"]?.array?.first?["alpha"] == .null)
        #expect(lint.modules.allSatisfy { $0.rank == 2 })
    }

    /// A link that leads to itself stands for a directory that may not be searched, which to root does not exist.
    @Test func filesThatCannotBeReachedAreNotMissing() throws {
        for name in ["adapter_model.safetensors", "adapter_config.json"] {
            let folder = try AdapterFolder()
            try folder.write()
            try FileManager.default.removeItem(at: folder.file(name))
            try FileManager.default.createSymbolicLink(
                atPath: folder.file(name).path, withDestinationPath: name)
            #expect(throws: FileError.self) { try AdapterLint(directory: folder.adapter) }
            #expect(throws: FileError.self) { try LoRAAdapter(directory: folder.adapter) }
        }
    }

    @Test func namesOfTheBaseAreTheSameInAllSpellings() throws {
        for (trained, folderName) in [
            ("meta/Tiny-Base", "tiny-base"), ("unsloth/tiny-base-bnb-4bit", "tiny-base"),
            ("/home/me/models/tiny-base/", "models--org--tiny-base/snapshots/abc"), ("tiny-base", "tiny-base-nf4"),
            ("tiny-base", "tiny-base/nf4"),
        ] {
            let folder = try AdapterFolder()
            folder.configuration["base_model_name_or_path"] = .string(trained)
            folder.baseConfiguration = nil
            try folder.write()
            let place = folder.url.appendingPathComponent(folderName)
            try FileManager.default.createDirectory(
                at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
            try FileManager.default.moveItem(at: folder.url.appendingPathComponent("base"), to: place)
            let lint = try AdapterLint(directory: folder.adapter, base: FilePath(place.path))
            #expect(lint.findings == [], "\(trained) \(folderName)")
        }
    }

    /// An adapter has an error exactly when it cannot be opened: for every adapter among the fixtures.
    @Test func lintAndOpeningAgree() throws {
        let fixtures = PackageFiles.root.appendingPathComponent("Tests/Fixtures")
        let adapters = try FileManager.default.subpathsOfDirectory(atPath: fixtures.path)
            .filter { $0.hasSuffix("/adapter_config.json") }
            .map { fixtures.appendingPathComponent($0).deletingLastPathComponent().path }
        #expect(adapters.count > 10)
        for path in adapters.sorted() {
            var error: (any Error)?
            do { _ = try LoRAAdapter(directory: FilePath(path)) } catch let caught { error = caught }
            let lint = try AdapterLint(directory: FilePath(path))
            #expect((lint.count(.error) > 0) == (error != nil), "\(path) \(lint.findings)")
        }
    }
}
