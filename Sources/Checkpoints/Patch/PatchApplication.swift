import Synchronization
import SystemPackage
import Tensors
import Workers

/// Makes one side of a patch from the other.
public struct PatchApplication: Sendable {
    private let patch: PatchReader
    private let source: PatchSource
    /// The side that is made.
    private let result: PatchSide

    /// Checks that a checkpoint is what a patch is for, as far as headers and side files tell.
    ///
    /// The checkpoint may lie in other files than those that the patch was made with, also in a container: its tensors
    /// and the side files that are taken over count.
    ///
    /// - Parameters:
    ///   - source: The base, to make the target; or the target, to get back the base.
    ///   - result: The side to make.
    /// - Throws: ``PatchMismatch``; ``CheckpointError/unwritable(reason:)`` for a container with adapters, which the result could
    ///   not hold.
    public init(_ patch: PatchReader, to source: ModelDirectory, making result: PatchSide) throws {
        self.patch = patch
        if let adapter = source.container?.adapters.first {
            throw CheckpointError.unwritable(
                reason:
                    "\(source.path): the adapter \(adapter.name) is in it, not merged, and would be lost; start from the model without it, and attach it to what the patch makes"
            )
        }
        self.source = try PatchSource(source)
        self.result = result
        try checkDescriptions()
        try checkSideFiles()
    }

    private func mismatch(_ difference: PatchMismatch.Difference) -> PatchMismatch {
        PatchMismatch(patch: patch.path, source: source.path, side: result.other, difference: difference)
    }

    private func checkDescriptions() throws(PatchMismatch) {
        guard let difference = descriptionDifference(from: result.other) else { return }
        throw mismatch(descriptionDifference(from: result) == nil ? .alreadyDone : difference)
    }

    /// How the source's tensors differ in names, dtypes or shapes from those of a side; `nil` when they do not.
    private func descriptionDifference(from side: PatchSide) -> PatchMismatch.Difference? {
        let expected = patch.index.tree(side).entries
        let found = source.pieces.pieces
        let missing = expected.filter { found[$0.name] == nil }.map(\.name)
        guard missing.isEmpty else { return .missing(missing) }
        let names = Set(expected.map(\.name))
        let extra = found.keys.filter { !names.contains($0) }.sorted { $0.precedesByBytes($1) }
        guard extra.isEmpty else { return .extra(extra) }
        for entry in expected {
            guard let piece = found[entry.name]?.description, piece.dtype != entry.dtype || piece.shape != entry.shape
            else { continue }
            return .described(
                tensor: entry.name, expected: "\(entry.dtype.rawValue) \(entry.shape)",
                found: "\(piece.dtype.rawValue) \(piece.shape)")
        }
        return nil
    }

    private func checkSideFiles() throws(PatchMismatch) {
        for file in patch.index.sideFiles {
            guard case .takenOver(let size, let digest) = file.content else { continue }
            guard let found = source.bytes(ofSideFile: file.name) else {
                throw mismatch(.sideFile(name: file.name, isMissing: true))
            }
            guard found.count == size, PatchDigest.of(found) == digest else {
                throw mismatch(.sideFile(name: file.name, isMissing: false))
            }
        }
    }

    /// Writes the result: a directory, or one file when the destination ends in `.safetensors`.
    ///
    /// - Parameters:
    ///   - isCancelled: Asked all the time; when it turns true, nothing is left behind and `Interrupted` is thrown.
    ///   - progress: Told how many of all bytes are done, from any thread.
    /// - Throws: ``PatchMismatch`` when the source's tensors have other values; ``CheckpointError`` when the patch is
    ///   damaged or the destination may not be written; ``Tensors/FileError``. Nothing is left behind then.
    public func write(
        to destination: FilePath, force: Bool = false, threads: Int? = nil,
        isCancelled: @escaping @Sendable () -> Bool = { false },
        progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
    ) throws {
        let tree = patch.index.tree(result)
        let sideFiles = patch.index.sideFiles.filter { $0.exists(result) }
        let isFile = SafetensorsCheckpointWriter.isSingleFile(destination)
        guard !isFile || (tree.files.count == 1 && sideFiles.isEmpty) else {
            throw CheckpointError.unusableDestination(
                path: destination,
                reason:
                    "the checkpoint has \(tree.files.count + sideFiles.count) files; give a path that does not end in .safetensors"
            )
        }
        let output = try StagedOutput(destination: destination, kind: isFile ? .file : .directory, force: force)
        do {
            let files = try tree.files.map { file in
                let path = isFile ? output.path : output.path.appending(FilePath(file.name).components)
                if !isFile { try FileSystem.createParents(of: FilePath(file.name), in: output.path) }
                let created = try OutputFile(creating: path)
                try created.preallocate(file.size)
                return WindowedOutput(created, byteCount: file.size, constants: [(0, file.head)])
            }
            try convert(into: files, threads: threads ?? coreCount, isCancelled: isCancelled, progress: progress)
            let written = try sideFiles.map { file in
                let bytes = file.held(result) ?? source.bytes(ofSideFile: file.name) ?? []
                return try SideFile(name: FilePath(file.name), content: .bytes(bytes)).write(to: output.path)
            }
            for file in files { try file.finish() }
            try OutputFile.sync(files.map(\.file))
            try SideFile.sync(written)
            try output.commit()
        } catch {
            output.abandon()
            throw error
        }
    }

    /// What the workers have found out together.
    private struct Findings: Sendable {
        /// Items whose bytes are not those that the patch was made with.
        var wrong: Set<Int> = []
        /// Whether all of those are as the patch would make them.
        var areDone = true
        /// For each chunk the SHA-256 of its members on both sides.
        var sourceDigests: [Int: [[UInt8]]] = [:]
        var resultDigests: [Int: [[UInt8]]] = [:]
    }

    private func convert(
        into files: [WindowedOutput], threads: Int, isCancelled: @escaping @Sendable () -> Bool,
        progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
    ) throws {
        let items = patch.index.items
        let findings = Mutex(Findings())
        let total = items.all.reduce(0) { $0 + $1.byteCount }
        let supervisor = Supervisor(isCancelled: isCancelled) { progress($0, total) }
        let jobs = JobList(counts: [items.chunks.count])
        runOnThreads(threads) { _ in
            while supervisor.shouldGoOn, let (_, number) = jobs.claim(from: 0) {
                supervisor.watch {
                    let byteCount = items.byteCount(items.chunks[number])
                    try withUnsafeTemporaryAllocation(byteCount: byteCount, alignment: InputFile.bufferAlignment) {
                        try convert(chunk: number, in: $0, files, findings)
                    }
                    supervisor.advance(by: byteCount)
                }
            }
        }
        try supervisor.checkFailure()
        try check(findings.withLock { $0 })
    }

    private func convert(
        chunk number: Int, in buffer: UnsafeMutableRawBufferPointer, _ files: [WindowedOutput],
        _ findings: borrowing Mutex<Findings>
    ) throws {
        let items = patch.index.items
        let chunk = items.chunks[number]
        let known = patch.index.chunks[number]
        let presence = patch.index.presence(ofChunk: number)
        if presence.includes(result.other) {
            try source.pieces.read(chunk, of: items, into: buffer)
            let found = items.fingerprints(of: chunk, UnsafeRawBufferPointer(buffer))
            let expected = known.checksums(result.other)
            let wrong = found.indices.filter { found[$0].checksum != expected[$0] }
            // One wrong tensor spoils the result; the others are only looked at from then on, to tell what differs.
            let isSpoiled = findings.withLock { findings in
                findings.sourceDigests[number] = found.map(\.digest)
                for position in wrong {
                    findings.wrong.insert(chunk.items[position])
                    if found[position].checksum != known.checksums(result)[position] { findings.areDone = false }
                }
                return !findings.wrong.isEmpty
            }
            if isSpoiled { return }
        }
        guard presence.includes(result) else { return }
        try patch.decode(chunk: number, result: result, into: buffer)
        let bytes = UnsafeRawBufferPointer(buffer)
        let made = items.fingerprints(of: chunk, bytes)
        guard made.map(\.checksum) == known.checksums(result) else {
            throw CheckpointError.invalidPatch(
                file: patch.path, problem: .wrongResult(tensors: items.names(chunk)))
        }
        findings.withLock { $0.resultDigests[number] = made.map(\.digest) }
        for (item, member) in items.members(of: chunk, bytes) {
            guard let place = items.all[item].place(result) else { continue }
            try files[place.file].write(member, at: place.offset + items.range(item, piece: chunk.piece).lowerBound)
        }
    }

    /// Refuses a result that was made from something else, or by differences that somebody has changed.
    private func check(_ findings: Findings) throws {
        let items = patch.index.items
        guard findings.wrong.isEmpty else {
            guard !findings.areDone else { throw mismatch(.alreadyDone) }
            let count = items.all.count { $0.presence.includes(result.other) && $0.byteCount > 0 }
            throw mismatch(.values(findings.wrong.sorted().map { items.all[$0].name }, of: count))
        }
        for (side, digests) in [(result.other, findings.sourceDigests), (result, findings.resultDigests)] {
            var pieces: [String: [[UInt8]]] = [:]
            for (number, chunk) in items.chunks.enumerated() {
                guard let known = digests[number] else { continue }
                for (name, digest) in zip(items.names(chunk), known) { pieces[name, default: []].append(digest) }
            }
            guard PatchDigest.of(patch.index.tree(side), pieces: pieces) == patch.index.digest(side) else {
                let names = items.all.filter { $0.presence.includes(side) }.map(\.name)
                guard side == result else { throw mismatch(.values(names, of: names.count)) }
                throw CheckpointError.invalidPatch(file: patch.path, problem: .wrongResult(tensors: names))
            }
        }
    }
}
