import Checkpoints
import Foundation
import SampleModels
import SystemPackage
import Tensors
import TestSupport
import Testing

/// Thousands of damaged patches: each is refused, or makes what it should.
@Suite struct CorruptionTests {
    private struct Sample {
        let directory: TemporaryDirectory
        let bytes: [UInt8]
        let expected: [String: Data]

        init() throws {
            directory = try TemporaryDirectory()
            var generator = SeededGenerator(seed: 9)
            var base = SampleModel()
            base.add(SampleModel.quantized("layers.0.q_proj.weight", [9, 64]), &generator)
            base.add(SampleModel.quantized("layers.0.o_proj.weight", [7, 33], .fp4, double: false), &generator)
            base.add(SampleModel.dense("norm.weight", [64], .bf16), &generator)
            base.add(SampleModel.dense("gone", [16], .f32), &generator)
            base.add(SampleModel.dense("nothing", [0], .f32), &generator)
            base.sideFiles = [
                SideFile(name: "config.json", content: .bytes(Array("{\"a\": 1, \"b\": 1}".utf8))),
                SideFile(name: "merges.txt", content: .bytes(Array("a b".utf8))),
            ]
            var target = base
            for index in [1, 20, 21, 200] { target.data[0][.codes]?[index] &+= 0x11 }
            target.data[1][.absmax]?[0] ^= 1
            target.data[2][.values]?[7] ^= 1
            target.tensors[3] = SampleModel.dense("new", [12], .f32)
            target.data[3][.values] = generator.bytes(48)
            target.sideFiles[0] = SideFile(name: "config.json", content: .bytes(Array("{\"a\": 2}".utf8)))
            try base.write(to: directory.file("base"))
            try target.write(to: directory.file("target"))
            try PatchCreation(
                base: ModelDirectory(path: directory.file("base")),
                target: ModelDirectory(path: directory.file("target"))
            ).write(to: directory.file("sound.qpatch"))
            bytes = try contents(directory.file("sound.qpatch"))
            expected = try files(in: directory.file("target"))
        }

        /// What a damaged patch makes; `nil` when it is refused.
        func result(of damaged: [UInt8]) throws -> [String: Data]? {
            let path = directory.file("damaged.qpatch")
            try write(damaged, to: path)
            do {
                let reader = try PatchReader(path: path)
                for chunk in 0..<reader.chunkCount where try reader.verify(chunk: chunk) != nil { return nil }
                _ = (reader.changedTensors, reader.files(.base), reader.files(.target))
                try PatchApplication(
                    reader, to: ModelDirectory(path: directory.file("base")), making: .target
                ).write(to: directory.file("out"), force: true, threads: 1)
                return try files(in: directory.file("out"))
            } catch is CheckpointError {
                return nil
            } catch is PatchMismatch {
                return nil
            }
        }
    }

    @Test(arguments: 0..<6)
    func randomDamageIsDetectedOrHarmless(round: Int) throws {
        let sample = try Sample()
        #expect(try sample.result(of: sample.bytes) == sample.expected)
        var generator = SeededGenerator(seed: UInt64(round))
        for _ in 0..<500 {
            let damaged = sample.bytes.damaged(&generator)
            if let result = try sample.result(of: damaged) { #expect(result == sample.expected) }
        }
    }

    /// Sizes, names and checksums edited by somebody who mends the checksum of the index: such a patch may be valid, but it
    /// never crashes, never leads outside the destination, and never makes something else than its digest says.
    @Test(arguments: 0..<4)
    func editedIndexesNeverCrash(round: Int) throws {
        let sample = try Sample()
        let parts = try SealedBytes(sample.bytes, as: PatchFormat.sealed)
        var generator = SeededGenerator(seed: 100 + UInt64(round))
        var refused = 0
        for _ in 0..<500 {
            var edited = parts
            edited.editIndex(&generator)
            if try sample.result(of: edited.assembled()) == nil { refused += 1 }
            #expect(try FileManager.default.contentsOfDirectory(atPath: sample.directory.path.string).count <= 5)
        }
        #expect(refused > 400)
    }

    @Test func hugeSizesAreRefusedAtOnce() throws {
        let sample = try Sample()
        var header = SealedHeader(PatchFormat.sealed)
        header.indexOffset = 64
        header.indexSize = .max
        #expect(try sample.result(of: header.encoded(as: PatchFormat.sealed)) == nil)
        header.indexSize = 1 << 28
        header.indexStoredSize = 0
        #expect(try sample.result(of: header.encoded(as: PatchFormat.sealed)) == nil)
        header.indexOffset = .max
        header.indexStoredSize = 2
        #expect(try sample.result(of: header.encoded(as: PatchFormat.sealed)) == nil)
        // A weight of 2^60 bytes in a header that is valid as such.
        var parts = try SealedBytes(sample.bytes, as: PatchFormat.sealed)
        let json = Array(
            "{\"w\":{\"dtype\":\"U8\",\"shape\":[\(1 << 60)],\"data_offsets\":[0,\(1 << 60)]}}".utf8)
        var index: [UInt8] = [20, 1, 1, 0x77]
        index += number(8 + json.count + 1 << 60) + [0] + number(json.count) + json
        parts.index = index + index.dropFirst() + [0] + [UInt8](repeating: 0, count: 100)
        parts.data = []
        #expect(try sample.result(of: parts.assembled()) == nil)
    }

    /// A long header without tensors, which any number of files can have.
    @Test(.timeLimit(.minutes(1))) func aSharedHeaderIsReadOnce() throws {
        let fields = (0..<20_000).map { "\"key \($0)\":\"\"" }.joined(separator: ",")
        let header = Array("{\"__metadata__\":{\(fields)}}".utf8)
        func index(size: Int) throws -> PatchIndex {
            var bytes: [UInt8] = [20, 1, 1, 0x62] + number(8 + header.count) + [0] + number(header.count) + header
            bytes += number(1000)
            for file in 100..<1100 {
                let name = Array("\(file)".utf8)
                bytes += number(name.count) + name + number(size) + [1]
            }
            return try PatchIndex(
                bytes + [0] + [UInt8](repeating: 0, count: 2 * PatchDigest.byteCount), dataEnd: SealedHeader.byteCount)
        }
        let read = try index(size: 8 + header.count)
        #expect(read.target.files.count == 1000)
        #expect(read.target.files.allSatisfy { $0.header == header && $0.entries.isEmpty })
        #expect(throws: SealedFileProblem.self) { try index(size: 9 + header.count) }
    }

    private func number(_ value: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}
