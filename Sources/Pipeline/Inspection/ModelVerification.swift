import Checkpoints
import Synchronization
import SystemPackage
import Tensors
import Workers

/// Checks that a model or an adapter is whole: containers and patches by the checksums of every chunk, safetensors files and
/// directories by their headers, their index, the pieces of every 4-bit weight, and by reading every byte.
public struct ModelVerification: Sendable {
    public let path: FilePath
    /// What is damaged, one sentence each; empty when nothing is.
    public let damages: [String]
    /// Bytes of the files that hold the weights, damaged or not.
    public let bytes: Int

    /// Checks what stands at a path.
    ///
    /// - Throws: ``FileError`` when it cannot be opened at all; ``CheckpointError/notACheckpoint(path:found:wayOut:)`` when it is
    ///   nothing that could be whole.
    public init(path: FilePath, threads: Int = ResourcePlan.coreCount) throws {
        self.path = path
        do {
            (bytes, damages) = try ModelVerification.check(path, threads: threads)
        } catch let error as CheckpointError {
            if case .notACheckpoint = error { throw error }
            (bytes, damages) = (ModelVerification.size(of: path), ["\(error)"])
        } catch let error as FileError where error.path != path && error.errno == .noSuchFileOrDirectory {
            // A file that the model names and that is not there.
            (bytes, damages) = (ModelVerification.size(of: path), ["\(error)"])
        }
    }

    /// The bytes of the weights at a path, whatever is in them.
    private static func size(of path: FilePath) -> Int {
        let names = (try? FileSystem.names(in: path)) ?? []
        let files =
            FileSystem.kind(of: path) == .directory
            ? names.filter { name in [".safetensors", ".bin", ".pt"].contains { name.hasSuffix($0) } }
                .map { path.appending($0) } : [path]
        return files.reduce(0) { $0 + ((try? InputFile(path: $1).size) ?? 0) }
    }

    private static func check(_ path: FilePath, threads: Int) throws -> (bytes: Int, damages: [String]) {
        if isAdapter(path) { return try checkAdapter(path, threads: threads) }
        if try PatchReader.stands(at: path) {
            let patch = try PatchReader(path: path)
            return (
                patch.fileSize,
                try damages(count: patch.chunkCount, threads: threads) { number in
                    try patch.verify(chunk: number).map { [$0.description] } ?? []
                }
            )
        }
        let model = try ModelDirectory(path: path)
        let bytes = try size(of: model.reader)
        if let container = model.container {
            return (
                bytes,
                try damages(count: container.chunkCount, threads: threads) { number in
                    try container.verify(chunk: number).map(\.description)
                }
            )
        }
        return (bytes, unreadableTensors(in: model.reader, threads: threads))
    }

    // MARK: - Adapters

    /// Whether a directory holds an adapter, or what is left of one, and no model beside it.
    private static func isAdapter(_ path: FilePath) -> Bool {
        guard FileSystem.kind(of: path) == .directory else { return false }
        let models = [ModelFiles.weights, ModelFiles.index, ModelFiles.pickledWeights, ModelFiles.pickledIndex]
        return ([AdapterFiles.configuration] + AdapterFiles.weightsNames).contains { exists($0, in: path) }
            && !models.contains { exists($0, in: path) }
    }

    private static func exists(_ name: String, in directory: FilePath) -> Bool {
        FileSystem.kind(of: directory.appending(name)) == .file
    }

    private static func checkAdapter(_ path: FilePath, threads: Int) throws -> (bytes: Int, damages: [String]) {
        guard exists(AdapterFiles.configuration, in: path) else {
            return (size(of: path), ["\(AdapterFiles.configuration) is missing"])
        }
        guard let weights = AdapterFiles.weights(in: path) else { return (0, ["\(AdapterFiles.weights) is missing"]) }
        _ = try ModelConfig(path: path.appending(AdapterFiles.configuration))
        let reader = try AdapterFiles.openWeights(weights)
        return (try size(of: reader), unreadableTensors(in: reader, threads: threads))
    }

    private static func size(of reader: any CheckpointReader) throws -> Int {
        try reader.files.reduce(0) { $0 + (try InputFile(path: $1)).size }
    }

    // MARK: - Pieces

    /// What is damaged in chunks that can be checked one by one, in their order.
    private static func damages(
        count: Int, threads: Int, check: @escaping @Sendable (Int) throws -> [String]
    ) throws -> [String] {
        let next = Atomic(0)
        let found = Mutex<[Int: [String]]>([:])
        let failure = Mutex<(any Error)?>(nil)
        runOnThreads(threads) { _ in
            while true {
                let chunk = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard chunk < count else { return }
                do {
                    let damages = try check(chunk)
                    if !damages.isEmpty { found.withLock { $0[chunk] = damages } }
                } catch {
                    failure.withLock { $0 = $0 ?? error }
                }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
        return found.withLock { $0 }.sorted { $0.key < $1.key }.flatMap(\.value)
    }

    /// Tensors whose bytes cannot be read. safetensors has no checksums: what reads counts as whole.
    private static func unreadableTensors(in reader: any CheckpointReader, threads: Int) -> [String] {
        let next = Atomic(0)
        let found = Mutex<[Int: String]>([:])
        runOnThreads(threads) { _ in
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
            defer { buffer.deallocate() }
            while true {
                let tensor = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard tensor < reader.tensors.count else { return }
                do {
                    for (part, byteCount) in reader.tensors[tensor].parts {
                        for start in stride(from: 0, to: byteCount, by: buffer.count) {
                            let piece = buffer[..<min(buffer.count, byteCount - start)]
                            try reader.read(
                                part, ofTensor: tensor, at: start, into: UnsafeMutableRawBufferPointer(rebasing: piece))
                        }
                    }
                } catch {
                    found.withLock { $0[tensor] = "\"\(reader.tensors[tensor].name)\": \(error)" }
                }
            }
        }
        return found.withLock { $0 }.sorted { $0.key < $1.key }.map(\.value)
    }
}
