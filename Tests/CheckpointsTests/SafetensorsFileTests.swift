import Checkpoints
import SystemPackage
import Tensors
import Testing

@Suite struct SafetensorsFileTests {
    @Test func readsWhatSafetensorsWrote() throws {
        let file = try SafetensorsFile(path: Fixtures.path("reference-order.safetensors"))
        #expect(file.entries.count == 19 * 4)
        #expect(file.metadata == ["format": "pt", "note": "tab\tquote\" é"])
        let dtypes = Set(file.entries.map(\.dtype))
        #expect(dtypes.isSuperset(of: [.bool, .f8e4m3, .f8e8m0, .c64, .bf16, .u64]) && dtypes.count == 19)
        let scalar = try #require(file["é.14\n\"\\"])
        #expect(scalar.dtype == .f32 && scalar.shape == [] && scalar.byteCount == 4)
        #expect(file["empty.3"]?.byteCount == 0)
        #expect(file["absent"] == nil)
    }

    @Test func readsSubByteDtypes() throws {
        let file = try SafetensorsFile(path: Fixtures.path("sub-byte.safetensors"))
        let found = file.entries.map { "\($0.name) \($0.dtype.rawValue) \($0.shape) \($0.byteCount)" }
        #expect(
            found == ["a U8 [3] 3", "f6b F6_E3M2 [4, 2] 6", "f6a F6_E2M3 [4] 3", "f4 F4 [2, 3] 3"])
        #expect(try file.bytes(of: file.entries[3]) == (12..<15).map { UInt8($0 * 37 % 256) })
    }

    @Test func allWaysOfReadingAgree() throws {
        let file = try SafetensorsFile(path: Fixtures.path("reference-order.safetensors"))
        let whole = try contents(file.path)
        for entry in file.entries {
            let bytes = try file.bytes(of: entry)
            #expect(bytes == Array(whole[entry.range]))
            #expect(try file.withUnsafeBytes(of: entry.name) { Array($0) } == bytes)
            guard entry.byteCount > 2 else { continue }
            var part = [UInt8](repeating: 0, count: entry.byteCount - 2)
            try part.withUnsafeMutableBytes { try file.read(entry, at: 1, into: $0) }
            #expect(part == Array(bytes[1..<bytes.count - 1]))
        }
        #expect(throws: CheckpointError.noSuchTensor(file: file.path, name: "absent")) {
            try file.withUnsafeBytes(of: "absent") { _ in }
        }
    }

    @Test func tensorsStandInTheOrderOfTheirData() throws {
        // Headers need not be sorted, empty tensors may stand anywhere, keys in any order, blanks anywhere.
        let json = """
            {"b":{"shape":[2],"data_offsets":[1,3],"dtype":"U8"},"e2":{"dtype":"F32","shape":[0],"data_offsets":[3,3]},\
             "e1": {"dtype":"F32","shape":[5,0],"data_offsets":[1,1]} , "a":{"dtype":"I8","shape":[],"data_offsets":[0,1]}}\u{20}
            """
        try withTemporaryDirectory { directory throws in
            let path = directory.appending("x.safetensors")
            try write(safetensors(json, data: [1, 2, 3]), to: path)
            let file = try SafetensorsFile(path: path)
            #expect(file.entries.map(\.name) == ["a", "e1", "b", "e2"])
            #expect(file.metadata == nil)
        }
    }

    @Test func missingFilesAreTheSystemsBusiness() {
        let error = #expect(throws: FileError.self) { try SafetensorsFile(path: "/nowhere/x.safetensors") }
        #expect(error?.errno == .noSuchFileOrDirectory)
    }

    @Test func largeHeadersOpenQuickly() throws {
        let pieces = (0..<1000).map { index in
            SafetensorsPiece(
                name: "model.layers.\(index).self_attn.q_proj.weight", dtype: .u8, shape: [4, 2], byteCount: 8)
        }
        let layout = try SafetensorsLayout(pieces: pieces, metadata: [:])
        try withTemporaryDirectory { directory throws in
            let path = directory.appending("x.safetensors")
            try write(layout.header + [UInt8](repeating: 0, count: 8000), to: path)
            let elapsed = try ContinuousClock().measure { _ = try SafetensorsFile(path: path) }
            // A few milliseconds when optimized; the bound leaves room for a debug build on a busy machine.
            #expect(elapsed < .milliseconds(500))
        }
    }
}
