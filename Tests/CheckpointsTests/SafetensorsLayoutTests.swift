import Checkpoints
import SystemPackage
import Tensors
import TestSupport
import Testing

@Suite struct SafetensorsLayoutTests {
    /// Laying out the same tensors gives the bytes that safetensors 0.8 wrote, header and data.
    @Test(arguments: [
        "reference-order.safetensors", "bitsandbytes.safetensors", "sharded/model-00001-of-00004.safetensors",
    ])
    func reproducesTheReferenceWriter(name: String) throws {
        let file = try SafetensorsFile(path: Fixtures.path(name))
        let whole = try contents(file.path)
        var random = SeededGenerator(seed: 3)
        let entries = file.entries.shuffled(using: &random)
        let pieces = entries.map {
            SafetensorsPiece(name: $0.name, dtype: $0.dtype, shape: $0.shape, byteCount: $0.byteCount)
        }
        // With several entries the reference writes its metadata in no particular order.
        let metadata = name.hasPrefix("reference") ? [:] : try #require(file.metadata)
        let layout = try SafetensorsLayout(pieces: pieces, metadata: metadata)
        let headerSize = try #require(file.entries.first).range.lowerBound
        if !name.hasPrefix("reference") { #expect(layout.header == Array(whole[..<headerSize])) }
        let shift = layout.header.count - headerSize
        #expect(layout.offsets.map { $0 - shift } == entries.map(\.range.lowerBound))
        #expect(layout.fileSize - shift == whole.count)
    }

    @Test func namesAreOrderedByBytes() throws {
        let names = ["é", "e\u{301}x", "z", "Z", "a.b", "a-b", "漢", "😀"]
        let pieces = names.map { SafetensorsPiece(name: $0, dtype: .u8, shape: [1], byteCount: 1) }
        let layout = try SafetensorsLayout(pieces: pieces, metadata: [:])
        let order = names.indices.sorted { layout.offsets[$0] < layout.offsets[$1] }.map { names[$0] }
        #expect(order == ["Z", "a-b", "a.b", "e\u{301}x", "z", "é", "漢", "😀"])
    }

    @Test func duplicateAndReservedNamesAreRefused() {
        let piece = SafetensorsPiece(name: "a", dtype: .u8, shape: [1], byteCount: 1)
        #expect(throws: CheckpointError.self) { try SafetensorsLayout(pieces: [piece, piece], metadata: [:]) }
        let reserved = SafetensorsPiece(name: "__metadata__", dtype: .u8, shape: [1], byteCount: 1)
        #expect(throws: CheckpointError.self) { try SafetensorsLayout(pieces: [reserved], metadata: [:]) }
    }

    /// Whatever the layout, reading gives back what was laid out, and deferred pieces that turn out shorter move nothing
    /// else.
    @Test func randomLayoutsRoundTrip() throws {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<200 {
            var pieces = (0..<Int.random(in: 0...12, using: &random)).map { index in
                let dtype = DType.allCases.randomElement(using: &random) ?? .u8
                var shape = (0..<Int.random(in: 0...3, using: &random)).map { _ in Int.random(in: 0...5, using: &random)
                }
                if dtype.bits < 8 { shape.append(4) }
                let byteCount = dtype.byteCount(elements: shape.reduce(1, *)) ?? 0
                let name = String(decoding: random.bytes(4).map { $0 & 0x7f }, as: UTF8.self) + "\(index)"
                return SafetensorsPiece(name: name, dtype: dtype, shape: shape, byteCount: byteCount)
            }
            for index in 0..<Int.random(in: 0...4, using: &random) {
                let room = Int.random(in: 100...300, using: &random)
                pieces.append(
                    SafetensorsPiece(name: "q\(index)", dtype: .u8, shape: [room], byteCount: room, isDeferred: true))
            }
            let reserved = try SafetensorsLayout(pieces: pieces, metadata: ["k": "v"])
            var exact = pieces
            for index in exact.indices where exact[index].isDeferred {
                exact[index].byteCount = Int.random(in: 0...exact[index].byteCount, using: &random)
                exact[index].shape = [exact[index].byteCount]
            }
            let layout = try SafetensorsLayout(
                pieces: exact, metadata: ["k": "v"], headerSize: reserved.header.count)
            #expect(layout.header.count == reserved.header.count && layout.header.count % 8 == 0)
            for index in pieces.indices where !pieces[index].isDeferred {
                #expect(layout.offsets[index] == reserved.offsets[index])
            }
            let header = try SafetensorsHeader(json: Array(layout.header[8...]), fileSize: layout.fileSize)
            #expect(header.metadata == ["k": "v"])
            #expect(header.entries.count == exact.count)
            for entry in header.entries {
                let index = try #require(exact.firstIndex { $0.name == entry.name })
                #expect(entry.dtype == exact[index].dtype && entry.shape == exact[index].shape)
                #expect(entry.byteCount == 0 || entry.range.lowerBound == layout.offsets[index])
            }
        }
    }
}
