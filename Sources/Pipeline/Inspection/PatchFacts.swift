import Checkpoints
import LosslessJSON
import Reports
import Tensors

/// What a patch holds, for people and programs.
public struct PatchFacts: Sendable {
    private let patch: PatchReader
    private let changed: [String]

    public init(_ patch: PatchReader) {
        self.patch = patch
        changed = patch.changedTensors
    }

    public var json: JSONValue {
        let bytes = patch.differenceBytes
        return [
            "path": .string(patch.path.string), "kind": "patch", "file_bytes": .int(patch.fileSize),
            "base": json(of: .base), "target": json(of: .target),
            "changed_tensors": .array(changed.map { .string($0) }),
            "code_difference_bytes": .int(bytes.codes), "other_difference_bytes": .int(bytes.other),
        ]
    }

    private func json(of side: PatchSide) -> JSONValue {
        [
            "sha256": .string(patch.digest(side)), "stored_tensors": .int(patch.tensorCount(side)),
            "files": .array(
                patch.files(side).map { ["name": .string($0.name), "bytes": .int($0.byteCount)] }),
        ]
    }

    /// For a terminal.
    public var text: String {
        let whole = patch.files(.target).reduce(0) { $0 + $1.byteCount }
        let bytes = patch.differenceBytes
        let share = whole > 0 ? Double(patch.fileSize) / Double(whole) : 0
        var lines = [
            "\(patch.path): patch, \(NumberText.bytes(patch.fileSize)), \(NumberText.percent(share)) of the \(NumberText.bytes(whole)) that it makes",
            "\(changed.count) of \(patch.tensorCount(.target)) stored tensors change; differences: \(NumberText.bytes(bytes.codes)) of codes, \(NumberText.bytes(bytes.other)) of others",
        ]
        for side in PatchSide.allCases {
            lines += ["", "\(side.rawValue), tensors' SHA-256 \(patch.digest(side))"]
            lines += patch.files(side).map { "  \($0.name)  \(NumberText.bytes($0.byteCount))" }
        }
        return TerminalText.printableText(of: lines)
    }
}
