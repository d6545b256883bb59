import Checkpoints
import Synchronization
import SystemPackage
import Tensors
import Workers

/// Checks that a model is whole: containers and patches by the checksums of every chunk, safetensors files and directories by their
/// headers, their index, the pieces of every 4-bit weight, and by reading every byte.
public struct ModelVerification: Sendable {
    public let path: FilePath
    /// What is damaged, one sentence each; empty when nothing is.
    public let damages: [String]
    /// Bytes that were checked.
    public let bytes: Int

    /// Checks what stands at a path.
    ///
    /// - Throws: ``FileError`` when it cannot be opened at all.
    public init(path: FilePath, threads: Int = ResourcePlan.coreCount) throws {
        self.path = path
        let checked: (bytes: Int, damages: [String])
        do {
            checked = try ModelVerification.check(path, threads: threads)
        } catch let error as CheckpointError {
            checked = (0, ["\(error)"])
        }
        bytes = checked.bytes
        damages = checked.damages
    }

    private static func check(_ path: FilePath, threads: Int) throws -> (bytes: Int, damages: [String]) {
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
        let bytes = try model.reader.files.reduce(0) { $0 + (try InputFile(path: $1)).size }
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
