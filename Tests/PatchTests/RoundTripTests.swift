import Checkpoints
import Foundation
import SampleModels
import SystemPackage
import Tensors
import TestSupport
import Testing

/// A patch makes the target from the base and the base from the target, bit for bit, for every encoding and size.
@Suite struct RoundTripTests {
    private let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    private func create(
        _ base: FilePath, _ target: FilePath, _ patch: FilePath, threads: Int = 2, pieceSizeLog2: Int = 16
    ) throws {
        try PatchCreation(base: ModelDirectory(path: base), target: ModelDirectory(path: target))
            .write(to: patch, force: true, threads: threads, pieceSizeLog2: pieceSizeLog2)
    }

    /// Makes a patch of the two directories and applies it both ways.
    private func expectThereAndBack() throws {
        let patch = directory.file("a.qpatch")
        try create(directory.file("base"), directory.file("target"), patch)
        try PatchApplication.make(.target, from: directory.file("base"), patch, directory.file("out"))
        #expect(try files(in: directory.file("out")) == files(in: directory.file("target")))
        try PatchApplication.make(.base, from: directory.file("target"), patch, directory.file("back"))
        #expect(try files(in: directory.file("back")) == files(in: directory.file("base")))
    }

    @Test(arguments: 0..<6)
    func bothSidesComeBack(round: Int) throws {
        let base = SampleModel.checkpoint(seed: UInt64(round))
        let target = base.changed(seed: UInt64(round) + 100)
        // One file or shards, on either side.
        try base.write(to: directory.file("base"), maximumShardSize: round % 2 == 0 ? nil : 20_000)
        try target.write(to: directory.file("target"), maximumShardSize: round % 3 == 0 ? nil : 9_000)
        try expectThereAndBack()
    }

    /// Tensors of several pieces, some of which change.
    @Test func largeTensorsAreCutIntoPieces() throws {
        var generator = SeededGenerator(seed: 8)
        var base = SampleModel()
        base.add(SampleModel.quantized("codes", [1000, 701]), &generator)
        base.add(SampleModel.quantized("exactly", [1 << 17], .fp4, double: false), &generator)
        base.add(SampleModel.dense("values", [100_001], .f32), &generator)
        base.add(SampleModel.dense("same", [70_000], .bf16), &generator)
        var target = base
        target.data[0][.codes]?[300_000] ^= 0x10
        target.data[2][.values]?[400_000] ^= 1
        try base.write(to: directory.file("base"))
        try target.write(to: directory.file("target"))
        try expectThereAndBack()
        let reader = try PatchReader(path: directory.file("a.qpatch"))
        #expect(reader.changedTensors == ["values", "codes"])
        #expect(reader.fileSize < 3000)
    }

    /// The writer gets its bytes in any order; the result is that of comparing two directories.
    @Test(arguments: 0..<3)
    func theWriterMakesTheSamePatch(round: Int) throws {
        let base = SampleModel.checkpoint(seed: 20)
        let target = base.changed(seed: 21)
        try base.write(to: directory.file("base"))
        try target.write(to: directory.file("target"), maximumShardSize: round == 2 ? 15_000 : nil)
        try create(
            directory.file("base"), directory.file("target"), directory.file("created.qpatch"), pieceSizeLog2: 20)

        // Fresh scales have no mean before all data is seen.
        var planned = target.tensors
        for index in planned.indices where round == 1 {
            guard var quantization = planned[index].encoding.blockQuantization else { continue }
            quantization.doubleQuantization?.offset = nil
            planned[index].encoding = .blockQuantized(quantization)
        }
        func fill(_ writer: any CheckpointWriter, _ pieces: [SampleModel.Piece]) throws {
            try target.write(pieces, to: writer)
            for (index, tensor) in target.tensors.enumerated() where round == 1 {
                guard let offset = tensor.encoding.blockQuantization?.doubleQuantization?.offset else { continue }
                try writer.setDoubleQuantizationOffset(offset, ofTensor: index)
            }
            try writer.commit()
        }
        var generator = SeededGenerator(seed: UInt64(round))
        let writer = try PatchWriter(
            destination: directory.file("written.qpatch"), base: ModelDirectory(path: directory.file("base")),
            tensors: planned, metadata: target.metadata, maximumShardSize: round == 2 ? 15_000 : nil,
            sideFiles: target.sideFiles, memoryLimit: 5000)
        try fill(writer, target.pieces(size: 777).shuffled(using: &generator))
        let full = try SafetensorsCheckpointWriter(
            destination: directory.file("full"), tensors: planned, metadata: target.metadata,
            maximumShardSize: round == 2 ? 15_000 : nil, sideFiles: target.sideFiles)
        try fill(full, target.pieces(size: 777))

        try PatchApplication.make(
            .target, from: directory.file("base"), directory.file("written.qpatch"), directory.file("out"))
        #expect(try files(in: directory.file("out")) == files(in: directory.file("full")))
        if round != 1 {
            #expect(try contents(directory.file("written.qpatch")) == contents(directory.file("created.qpatch")))
        }
    }

    @Test func threadsDoNotMatter() throws {
        let base = SampleModel.checkpoint(seed: 30)
        try base.write(to: directory.file("base"))
        try base.changed(seed: 31).write(to: directory.file("target"))
        let patches = try [1, 2, 7].map { threads in
            let path = directory.file("\(threads).qpatch")
            try create(directory.file("base"), directory.file("target"), path, threads: threads)
            return try contents(path)
        }
        #expect(patches.allSatisfy { $0 == patches[0] })
    }

    /// What counts are tensors, not files: other shards and a container will do, on either way.
    @Test func otherFilesWithTheSameTensorsWillDo() throws {
        let base = SampleModel.checkpoint(seed: 40)
        let target = base.changed(seed: 41)
        try base.write(to: directory.file("base"))
        try target.write(to: directory.file("target"), maximumShardSize: 30_000)
        let patch = directory.file("a.qpatch")
        try create(directory.file("base"), directory.file("target"), patch)
        let expected = try files(in: directory.file("target"))

        try base.write(to: directory.file("shards"), maximumShardSize: 10_000)
        try PatchApplication.make(.target, from: directory.file("shards"), patch, directory.file("out"))
        #expect(try files(in: directory.file("out")) == expected)

        // As it comes from a bitsandbytes checkpoint, a container keeps what it needs to write one.
        let stored = try ModelDirectory(path: directory.file("base"))
        let container = try NF4ContainerWriter(
            destination: directory.file("base.nf4"), tensors: stored.reader.tensors, metadata: stored.reader.metadata,
            sideFiles: base.sideFiles)
        for (index, tensor) in stored.reader.tensors.enumerated() {
            for (part, byteCount) in tensor.parts {
                try stored.reader.bytes(part, ofTensor: index, 0..<byteCount).withUnsafeBytes {
                    try container.write($0, part: part, ofTensor: index, at: 0)
                }
            }
        }
        try container.commit()
        try PatchApplication.make(.target, from: directory.file("base.nf4"), patch, directory.file("out"))
        #expect(try files(in: directory.file("out")) == expected)

        try target.write(to: directory.file("whole"))
        try PatchApplication.make(.base, from: directory.file("whole"), patch, directory.file("back"))
        #expect(try files(in: directory.file("back")) == files(in: directory.file("base")))
    }

    @Test func tensorsOfOneSideAloneTravelWhole() throws {
        var generator = SeededGenerator(seed: 50)
        var base = SampleModel()
        for name in ["a", "b", "c"] { base.add(SampleModel.dense(name, [500], .bf16), &generator) }
        base.add(SampleModel.dense("other shape", [20, 3], .f32), &generator)
        base.add(SampleModel.dense("only base", [40], .u8), &generator)
        var target = base
        target.tensors[3].shape = [3, 20]
        target.tensors[4] = SampleModel.dense("only target", [41], .u8)
        target.data[4][.values] = generator.bytes(41)
        try base.write(to: directory.file("base"))
        try target.write(to: directory.file("target"))
        try expectThereAndBack()
    }

    @Test func singleFilesAreMadeOfSingleFiles() throws {
        var generator = SeededGenerator(seed: 60)
        var model = SampleModel()
        model.add(SampleModel.quantized("w", [30, 50]), &generator)
        try model.write(to: directory.file("base"))
        model.data[0][.codes]?[5] ^= 3
        try model.write(to: directory.file("target"))
        let base = directory.file("base").appending("model.safetensors")
        let target = directory.file("target").appending("model.safetensors")
        try create(base, target, directory.file("a.qpatch"))
        let out = directory.file("out.safetensors")
        try PatchApplication.make(.target, from: base, directory.file("a.qpatch"), out)
        #expect(try contents(out) == contents(target))
    }
}
