import Checkpoints
import Dispatch
import SampleModels
import Synchronization
import SystemPackage
import Tensors
import TestSupport
import Testing

@Suite struct WriterTests {
    /// The same bytes for any order, any number of threads, any size of pieces and any amount of memory.
    @Test(arguments: NF4ContainerWriter.Compression.allCases)
    func theSameBytesHoweverTheyArrive(compression: NF4ContainerWriter.Compression) throws {
        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(seed: 11)
        var model = SampleModel.varied(seed: 11)
        model.add(SampleModel.quantized("large", [700, 1000]), &generator)
        model.add(SampleModel.dense("large.dense", [500, 300], .bf16), &generator)
        model.addAdapter("adapter", &generator)
        try model.write(to: directory.file("reference.nf4"), compression)
        let reference = try contents(directory.file("reference.nf4"))
        for (number, size) in [100, 4096, 65536, 1 << 30].enumerated() {
            let pieces = model.pieces(size: size).shuffled(using: &generator)
            let path = directory.file("shuffled\(number).nf4")
            let writer = try model.writer(path, compression, memoryLimit: number % 2 == 0 ? 1000 : 64 << 20)
            let failures = Mutex<[any Error]>([])
            let finalModel = model
            DispatchQueue.concurrentPerform(iterations: 4) { thread in
                for index in stride(from: thread, to: pieces.count, by: 4) {
                    do { try finalModel.write(pieces[index], with: writer) } catch {
                        failures.withLock { $0.append(error) }
                    }
                }
            }
            #expect(failures.withLock { $0.isEmpty })
            try writer.commit()
            #expect(try contents(path) == reference)
        }
    }

    @Test func missingBytesAreNoticed() throws {
        let directory = try TemporaryDirectory()
        let model = SampleModel.varied(seed: 12)
        let writer = try model.writer(directory.file("model.nf4"))
        for piece in model.pieces(size: 1 << 20).dropLast() { try model.write(piece, with: writer) }
        #expect(throws: CheckpointError.self) { try writer.commit() }
        writer.abandon()
        #expect(try names(in: directory.path) == [])
    }

    @Test func bytesWrittenTwiceAreNoticed() throws {
        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(seed: 13)
        var model = SampleModel()
        model.add(SampleModel.dense("a", [1000], .u8), &generator)
        model.add(SampleModel.quantized("w", [100, 100]), &generator)
        let writer = try model.writer(directory.file("model.nf4"))
        for piece in model.pieces(size: 1 << 20) {
            try model.write(piece, with: writer)
            if case .tensor(1, .codes) = piece.target { continue }
        }
        for piece in model.pieces(size: 1 << 20) {
            #expect(throws: CheckpointError.self) { try model.write(piece, with: writer) }
        }
    }

    @Test func whatCannotBeStoredIsRefused() throws {
        let directory = try TemporaryDirectory()
        func refused(_ model: SampleModel) {
            #expect(throws: CheckpointError.self) { _ = try model.writer(directory.file("model.nf4")) }
        }
        func model(_ tensors: [LogicalTensor]) -> SampleModel {
            var model = SampleModel()
            model.tensors = tensors
            return model
        }
        refused(model([SampleModel.dense("a", [1], .f32), SampleModel.dense("a", [2], .f32)]))
        refused(model([SampleModel.dense("a", [3], .f4)]))
        refused(model([SampleModel.dense("a", [.max, 2], .u8)]))
        refused(model([SampleModel.quantized("a", [64], blocksize: 100)]))
        refused(model([SampleModel.quantized("a", [64], dtype: .i64)]))
        refused(model([SampleModel.dense(String(repeating: "a", count: 2000), [1], .f32)]))
        for name in ["../config.json", "/etc/passwd", "a//b", "", "a/./b", "a\\b"] {
            var sample = SampleModel()
            sample.sideFiles = [SideFile(name: FilePath(name), content: .bytes([1]))]
            // A FilePath normalizes some of these names itself.
            if !isPlainFileName(sample.sideFiles[0].name.string) { refused(sample) }
        }
        var twice = SampleModel()
        twice.sideFiles = [SideFile(name: "a", content: .bytes([1])), SideFile(name: "a", content: .bytes([2]))]
        refused(twice)
        var generator = SeededGenerator(seed: 1)
        var impossible = SampleModel()
        impossible.addAdapter("a", &generator)
        impossible.adapters[0].modules[0].factors[0].tensor = 4
        refused(impossible)
        #expect(try names(in: directory.path) == [])
    }
}

func names(in directory: FilePath) throws -> [String] { try FileSystem.names(in: directory) }
