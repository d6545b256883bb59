import Checkpoints
import LosslessJSON
import Reports
import SystemPackage
import Tensors

/// Where the record of one adapter's conversion is kept: `.NAME.qconv-record.json` beside the last output, NAME.
///
/// Each adapter has a file of its own, so that runs that share a batch do not wait for each other, and an output that is
/// moved can take it along.
struct BatchRecordFile: Sendable {
    let path: FilePath
    /// What an earlier run has left; `nil` when that is nothing, or nothing that this version understands.
    let earlier: BatchRecord?
    /// What it will say when the conversion begins.
    let next: BatchRecord
    /// Directories above it that do not exist yet, outermost first.
    private let missingDirectories: [FilePath]

    /// - Parameter base: The files of the input.
    /// - Throws: ``Tensors/FileError`` when an adapter's files cannot be read.
    init?(of plan: PipelinePlan, base: [RecordedFile]) throws {
        guard let destination = plan.model.outputs.last?.spec.path, let name = destination.lastComponent else {
            return nil
        }
        path = destination.removingLastComponent().appending(".\(name.string).qconv-record.json")
        next = BatchRecord(spec: plan.spec.normalized, inputs: try RecordedFile.all(of: plan, base: base))
        earlier = BatchRecordFile.read(path)
        missingDirectories = FileSystem.missingDirectories(above: path)
    }

    private static func read(_ path: FilePath) -> BatchRecord? {
        guard FileSystem.kind(of: path) == .file, let file = try? InputFile(path: path),
            let bytes = try? file.bytes(0..<file.size), let json = try? JSONValue(parsing: bytes)
        else { return nil }
        return BatchRecord(json)
    }

    /// Removes what a run that was killed at its very end has left beside the record.
    func clearLeftovers() {
        // Nothing depends on it: a file that cannot be removed stays.
        try? StagedOutput.clearLeftovers(beside: path)
    }

    /// Says that the conversion begins.
    func begin() throws {
        try write(next)
    }

    /// Says that outputs and reports are in place.
    func finish(outputs: [RecordedOutput], figures: [BatchFigures], failedGates: String?) throws {
        try write(next.done(outputs: outputs, figures: figures, failedGates: failedGates))
    }

    private func write(_ record: BatchRecord) throws {
        try StagedFile.write((record.json.serialized(.pretty) + "\n").utf8, to: path)
    }

    /// Says that a gate refused the outputs.
    func discard(figures: [BatchFigures], failedGates: String?) throws {
        try write(next.discarded(figures: figures, failedGates: failedGates))
    }

    /// Goes back to what an earlier run has left, when nothing came of this one.
    ///
    /// What has come of it after all (the first of several outputs) belongs to the record, which then stays.
    func takeBack(_ plan: PipelinePlan) throws {
        if let earlier {
            if earlier.covers(plan) { try write(earlier) }
        } else if plan.spec.destinations.allSatisfy({ FileSystem.kind(of: $0.used.path, followingLinks: false) == nil })
        {
            try FileSystem.remove(path)
            missingDirectories.reversed().forEach(FileSystem.removeIfEmpty)
        }
    }
}
