import Checkpoints
import Foundation
import SampleModels
import SystemPackage
import Tensors
import TestSupport
import Testing

/// What is not the base is refused by what differs, and nothing is left behind.
@Suite struct RefusalTests {
    private let directory: TemporaryDirectory
    private let base: SampleModel
    private let patch: FilePath

    init() throws {
        directory = try TemporaryDirectory()
        patch = directory.file("a.qpatch")
        base = SampleModel.checkpoint(seed: 1)
        try base.write(to: directory.file("base"))
        try base.changed(seed: 2).write(to: directory.file("target"))
        try PatchCreation(
            base: ModelDirectory(path: directory.file("base")), target: ModelDirectory(path: directory.file("target"))
        ).write(to: patch)
    }

    private func refusal(_ model: SampleModel) throws -> PatchMismatch.Difference? {
        try model.write(to: directory.file("other"))
        return try refusal(of: "other")
    }

    private func refusal(of name: String, making side: PatchSide = .target) throws -> PatchMismatch.Difference? {
        do {
            try PatchApplication.make(side, from: directory.file(name), patch, directory.file("out"))
        } catch let mismatch as PatchMismatch {
            #expect(mismatch.description.contains(name))
            #expect(FileManager.default.contents(atPath: directory.file("out").string + "/model.safetensors") == nil)
            return mismatch.difference
        }
        return nil
    }

    @Test func otherValuesAreNamed() throws {
        var other = base
        other.data[1][.codes]?[3] ^= 1
        guard case .values([base.tensors[1].name], let count)? = try refusal(other) else {
            Issue.record("other codes were taken")
            return
        }
        #expect(count > 200)
        other.data[0][.absmax]?[0] ^= 1
        let both = try #require(try refusal(other))
        guard case .values(let names, _) = both else {
            Issue.record("\(both)")
            return
        }
        #expect(Set(names) == [base.tensors[1].name, base.tensors[0].name + ".absmax"])
    }

    @Test func aPatchedModelIsNotPatchedAgain() throws {
        #expect(try refusal(of: "target") == .alreadyDone)
        #expect(try refusal(of: "base", making: .base) == .alreadyDone)
    }

    @Test func otherTensorsAreNamed() throws {
        var fewer = base
        let dropped = fewer.tensors.removeLast()
        fewer.data.removeLast()
        #expect(try refusal(fewer) == .missing([dropped.name]))
        var more = base
        more.tensors.append(SampleModel.dense("more", [2], .u8))
        more.data.append([.values: [1, 2]])
        #expect(try refusal(more) == .extra(["more"]))
        var turned = base
        let last = turned.tensors.count - 1
        turned.tensors[last].shape = turned.tensors[last].shape.reversed()
        guard case .described(dropped.name, _, _)? = try refusal(turned) else {
            Issue.record("another shape was taken")
            return
        }
    }

    @Test func sideFilesThatAreTakenOverMustBeThere() throws {
        var other = base
        other.sideFiles[1] = SideFile(name: "tokenizer.json", content: .bytes([1]))
        #expect(try refusal(other) == .sideFile(name: "tokenizer.json", isMissing: false))
        other.sideFiles.remove(at: 1)
        #expect(try refusal(other) == .sideFile(name: "tokenizer.json", isMissing: true))
        // A file that the patch holds itself need not be as it was.
        other = base
        other.sideFiles[0] = SideFile(name: "config.json", content: .bytes(Array("{}".utf8)))
        #expect(try refusal(other) == nil)
    }

    @Test func modelsInOtherEncodingsMakeNoPatch() throws {
        var dense = SampleModel()
        var quantized = SampleModel()
        var generator = SeededGenerator(seed: 3)
        dense.add(SampleModel.dense("w", [64, 64], .bf16), &generator)
        quantized.add(SampleModel.quantized("w", [64, 64]), &generator)
        try dense.write(to: directory.file("dense"))
        try quantized.write(to: directory.file("quantized"))
        #expect {
            try PatchCreation(
                base: ModelDirectory(path: directory.file("dense")),
                target: ModelDirectory(path: directory.file("quantized")))
        } throws: {
            "\($0)".contains("as large as the model") && "\($0)".contains("\"w\"")
        }
    }

    @Test func aDirectoryIsNotMadeAsOneFile() throws {
        #expect(throws: CheckpointError.self) {
            try PatchApplication.make(
                .target, from: directory.file("base"), patch, directory.file("out.safetensors"))
        }
    }

    @Test func aPatchIsNoModel() throws {
        #expect { try ModelDirectory(path: patch) } throws: { "\($0)".contains("qconv patch apply") }
        let config = directory.file("base/config.json")
        #expect(throws: CheckpointError.invalidPatch(file: config, problem: .file(.otherFormat))) {
            try PatchReader(path: config)
        }
    }
}
