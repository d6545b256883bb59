import Checkpoints
import Foundation
import SampleModels
import SystemPackage
import Tensors
import Testing

/// The worked example of formats/nf4-container.md is what the writer makes and the reader reads.
@Suite struct SpecificationTests {
    private static let document = FilePath(#filePath).removingLastComponent().removingLastComponent()
        .removingLastComponent().appending("formats/nf4-container.md")

    /// The bytes of the document's `hex` blocks: in each line, what stands before `|` and behind the offset.
    private func documentedBytes(_ label: String) throws -> [UInt8] {
        let lines = String(decoding: try contents(SpecificationTests.document), as: UTF8.self).split(
            separator: "\n", omittingEmptySubsequences: false)
        let start = try #require(lines.firstIndex { $0 == "```hex \(label)" })
        var bytes: [UInt8] = []
        for line in lines[(start + 1)...].prefix(while: { $0 != "```" }) {
            let columns = line.split(separator: "|", omittingEmptySubsequences: false)
            for byte in (columns.first ?? "").split(separator: " ").dropFirst() {
                bytes.append(try #require(UInt8(byte, radix: 16)))
            }
        }
        return bytes
    }

    private var model: SampleModel {
        var model = SampleModel()
        model.tensors = [
            SampleModel.quantized("w", [2, 40], storage: BitsAndBytesStorage(dtype: .u8, shape: [40, 1])),
            SampleModel.dense("b", [2], .f32),
        ]
        model.data = [
            [
                .codes: (0..<40).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 5) }, .absmax: [0x9A, 0xE1],
                .nestedAbsmax: [0x00, 0x00, 0x80, 0x3E],
            ],
            [.values: [0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x00, 0xC0]],
        ]
        model.metadata = ["format": "pt"]
        return model
    }

    @Test func theWorkedExampleIsWhatWeWrite() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("example.nf4")
        try model.write(to: path, pieceSizeLog2: NF4ContainerFormat.standardPieceSizeLog2)
        let written = try contents(path)
        let parts = try SealedBytes(written, as: NF4ContainerFormat.sealed)
        let dump = "\(hex(written))\nindex:\n\(hex(parts.index))"
        let documented = try SealedBytes(documentedBytes("file"), as: NF4ContainerFormat.sealed)
        // zlib may deflate an index otherwise in another version; all else is fixed.
        #expect(documented.data == parts.data, "\(dump)")
        #expect(documented.index == parts.index, "\(dump)")
        #expect(try documentedBytes("index") == parts.index, "\(dump)")
    }

    @Test func theWorkedExampleCanBeRead() throws {
        let directory = try TemporaryDirectory()
        try write(try documentedBytes("file"), to: directory.file("example.nf4"))
        let reader = try NF4ContainerReader(path: directory.file("example.nf4"))
        #expect(reader.tensors == model.tensors)
        #expect(reader.metadata == model.metadata)
        for tensor in model.tensors.indices { #expect(try reader.data(ofTensor: tensor) == model.data[tensor]) }
    }

    private func hex(_ bytes: [UInt8]) -> String {
        stride(from: 0, to: bytes.count, by: 16).map { start in
            let line = bytes[start..<min(bytes.count, start + 16)]
            return String(format: "%04x  ", start) + line.map { String(format: "%02x", $0) }.joined(separator: " ")
        }.joined(separator: "\n")
    }
}
