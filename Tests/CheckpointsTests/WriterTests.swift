import Checkpoints
import Foundation
import LosslessJSON
import SystemPackage
import Tensors
import Testing

@Suite struct WriterTests {
    @Test(arguments: ["bitsandbytes.safetensors", "sub-byte.safetensors"])
    func untouchedTensorsAreIdentical(name: String) throws {
        let checkpoint = try WeightsCheckpoint(path: Fixtures.path(name))
        try withTemporaryDirectory { directory throws in
            let destination = directory.appending("copy.safetensors")
            let writer = try SafetensorsCheckpointWriter(
                destination: destination, tensors: checkpoint.tensors, metadata: checkpoint.metadata)
            #expect(try names(in: directory) == [".copy.safetensors.qconv-partial"])
            try copy(checkpoint, to: writer, step: 7)
            try writer.commit()
            #expect(try contents(destination) == contents(Fixtures.path(name)))
            #expect(try names(in: directory) == ["copy.safetensors"])
            try writer.commit()
            writer.abandon()
            #expect(try names(in: directory) == ["copy.safetensors"])
        }
    }

    /// Offsets that arrive late change the layout, not what is read back.
    @Test func lateOffsetsReadBack() throws {
        let checkpoint = try WeightsCheckpoint(path: Fixtures.path("bitsandbytes.safetensors"))
        var tensors = checkpoint.tensors
        for index in tensors.indices {
            guard var quantization = tensors[index].encoding.blockQuantization else { continue }
            quantization.doubleQuantization?.offset = nil
            quantization.storage?.quantState = nil
            tensors[index].encoding = .blockQuantized(quantization)
        }
        try withTemporaryDirectory { directory throws in
            let destination = directory.appending("late.safetensors")
            let writer = try SafetensorsCheckpointWriter(destination: destination, tensors: tensors)
            try copy(checkpoint, to: writer)
            #expect(throws: CheckpointError.self) { try writer.commit() }
            for (index, tensor) in checkpoint.tensors.enumerated() {
                guard let offset = tensor.encoding.blockQuantization?.doubleQuantization?.offset else { continue }
                try writer.setDoubleQuantizationOffset(offset, ofTensor: index)
            }
            #expect(throws: CheckpointError.self) { try writer.setDoubleQuantizationOffset(.nan, ofTensor: 0) }
            try writer.commit()

            let again = try WeightsCheckpoint(path: destination)
            #expect(Set(again.tensors) == Set(checkpoint.tensors))
            let original = try SafetensorsFile(path: Fixtures.path("bitsandbytes.safetensors"))
            let written = try SafetensorsFile(path: destination)
            #expect(written.entries.count == original.entries.count)
            for entry in original.entries {
                let other = try #require(written[entry.name])
                #expect(other.dtype == entry.dtype && other.shape == entry.shape)
                #expect(try written.bytes(of: other) == original.bytes(of: entry))
            }
        }
    }

    @Test(arguments: [
        Float(0), -0.1, 1e-38, -1.1754944e-38, 3.4028235e38, Float.leastNonzeroMagnitude, 0.0001, 0.00012345679,
        123456.79,
    ])
    func anyOffsetFitsItsRoom(offset: Float) throws {
        let quantization = BlockQuantization(
            quantType: .nf4, blocksize: 64, dtype: .bf16, doubleQuantization: DoubleQuantization())
        let tensor = LogicalTensor(name: "a.weight", shape: [2, 64], encoding: .blockQuantized(quantization))
        try withTemporaryDirectory { directory throws in
            let destination = directory.appending("x.safetensors")
            let writer = try SafetensorsCheckpointWriter(destination: destination, tensors: [tensor])
            for (part, byteCount) in tensor.parts {
                try [UInt8](repeating: 0, count: byteCount).withUnsafeBytes {
                    try writer.write($0, part: part, ofTensor: 0, at: 0)
                }
            }
            try writer.setDoubleQuantizationOffset(offset, ofTensor: 0)
            try writer.commit()
            let read = try WeightsCheckpoint(path: destination).tensors[0].encoding.blockQuantization
            #expect(read?.doubleQuantization?.offset?.bitPattern == offset.bitPattern)
        }
    }

    @Test func aStaleQuantStateIsNotWritten() throws {
        let checkpoint = try WeightsCheckpoint(path: Fixtures.path("bitsandbytes.safetensors"))
        let index = try #require(checkpoint.tensors.firstIndex { $0.name == "nf4.64.double.weight" })
        var tensor = checkpoint.tensors[index]
        guard var quantization = tensor.encoding.blockQuantization else { return }
        quantization.doubleQuantization?.offset = 0.5
        tensor.encoding = .blockQuantized(quantization)
        try withTemporaryDirectory { directory throws in
            let destination = directory.appending("x.safetensors")
            let writer = try SafetensorsCheckpointWriter(destination: destination, tensors: [tensor])
            try copy(checkpoint, to: writer, order: [index])
            try writer.commit()
            let read = try WeightsCheckpoint(path: destination).tensors[0].encoding.blockQuantization
            #expect(read?.doubleQuantization?.offset == 0.5)
        }
    }

    @Test func incompleteDataIsNotPutInPlace() throws {
        let tensor = LogicalTensor(name: "a", shape: [4], encoding: .dense(.f32))
        try withTemporaryDirectory { directory throws in
            let destination = directory.appending("out")
            let writer = try SafetensorsCheckpointWriter(destination: destination, tensors: [tensor])
            try [UInt8](repeating: 0, count: 8).withUnsafeBytes {
                try writer.write($0, part: .values, ofTensor: 0, at: 8)
                #expect(throws: CheckpointError.self) { [buffer = $0] in
                    try writer.write(buffer, part: .values, ofTensor: 0, at: 9)
                }
            }
            let error = #expect(throws: CheckpointError.self) { try writer.commit() }
            guard case .incomplete(_, 8, 16) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            writer.abandon()
            #expect(throws: CheckpointError.self) { try writer.commit() }
            #expect(try names(in: directory) == [])
        }
    }

    @Test func directoriesGetSideFilesAndOneShardNoIndex() throws {
        let tensor = LogicalTensor(name: "a", shape: [0], encoding: .dense(.f32))
        try withTemporaryDirectory { directory throws in
            let source = directory.appending("tokenizer.json")
            try write(Array("{}".utf8), to: source)
            let destination = directory.appending("new").appending("model")
            let writer = try SafetensorsCheckpointWriter(
                destination: destination, tensors: [tensor], maximumShardSize: 1000,
                sideFiles: [
                    SideFile(name: "tokenizer.json", content: .copy(of: source)),
                    SideFile(name: "additional_chat_templates/rag.jinja", content: .bytes([1, 2])),
                ])
            try writer.commit()
            #expect(
                try names(in: destination) == ["additional_chat_templates", "model.safetensors", "tokenizer.json"])
            #expect(try contents(destination.appending("tokenizer.json")) == Array("{}".utf8))
            #expect(
                try SafetensorsFile(path: destination.appending("model.safetensors")).metadata == ["format": "pt"])
        }
    }

    @Test func impossibleRequestsLeaveNothing() throws {
        let tensor = LogicalTensor(name: "a", shape: [4], encoding: .dense(.f32))
        let huge = LogicalTensor(name: "b", shape: [1 << 40, 1 << 40], encoding: .dense(.f32))
        let partial = LogicalTensor(name: "b", shape: [3], encoding: .dense(.f4))
        let clash = LogicalTensor(
            name: "a",
            shape: [2, 2], encoding: .blockQuantized(BlockQuantization(quantType: .nf4, blocksize: 64, dtype: .bf16)))
        try withTemporaryDirectory { directory throws in
            for tensors in [[huge], [partial], [tensor, tensor], [tensor, clash]] {
                #expect(throws: CheckpointError.self) {
                    try SafetensorsCheckpointWriter(destination: directory.appending("new/x"), tensors: tensors)
                }
            }
            #expect(throws: CheckpointError.self) {
                try SafetensorsCheckpointWriter(
                    destination: directory.appending("x.safetensors"), tensors: [tensor], maximumShardSize: 100)
            }
            #expect(throws: CheckpointError.self) {
                try SafetensorsCheckpointWriter(
                    destination: directory.appending("x"), tensors: [tensor], maximumShardSize: 0)
            }
            #expect(throws: FileError.self) {
                try SafetensorsCheckpointWriter(
                    destination: directory.appending("x"), tensors: [tensor],
                    sideFiles: [SideFile(name: "a", content: .copy(of: "/nowhere/a"))])
            }
            // More than any disk has: refused before any work.
            let vast = LogicalTensor(name: "c", shape: [1 << 43], encoding: .dense(.f32))
            #expect(throws: FileError.self) {
                try SafetensorsCheckpointWriter(destination: directory.appending("x"), tensors: [vast])
            }
            #expect(try names(in: directory) == [])
        }
    }

    @Test func threadsMayWriteAtOnce() async throws {
        let tensors = (0..<8).map { LogicalTensor(name: "t\($0)", shape: [1000], encoding: .dense(.u8)) }
        let directory = FilePath(NSTemporaryDirectory()).appending("qconv-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(atPath: directory.string) }
        let writer = try SafetensorsCheckpointWriter(
            destination: directory, tensors: tensors, maximumShardSize: 3000)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for tensor in tensors.indices {
                for start in stride(from: 0, to: 1000, by: 100) {
                    group.addTask {
                        try [UInt8](repeating: UInt8(tensor * 10 + start / 100), count: 100).withUnsafeBytes {
                            try writer.write($0, part: .values, ofTensor: tensor, at: start)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        try writer.commit()
        let checkpoint = try WeightsCheckpoint(path: directory.appending("model.safetensors.index.json"))
        #expect(checkpoint.files.count == 4)
        for (index, tensor) in checkpoint.tensors.enumerated() {
            let number = try #require(Int(tensor.name.dropFirst()))
            #expect(
                try bytes(.values, ofTensor: index, checkpoint) == (0..<1000).map { UInt8(number * 10 + $0 / 100) })
        }
    }
}
