import Tensors

/// A file beside the weights, on one side of a patch or both.
package struct PatchSideFile: Hashable, Sendable {
    package enum Content: Hashable, Sendable {
        /// Both have the same, which the patch does not hold: it is taken from the checkpoint at hand.
        case takenOver(size: Int, digest: [UInt8])
        /// The patch holds what each has; `nil` on a side that has no such file.
        case held(base: [UInt8]?, target: [UInt8]?)
    }

    /// The path inside the checkpoint's directory.
    package let name: String
    package let content: Content

    /// The bytes that the patch holds for a side, if it holds them.
    func held(_ side: PatchSide) -> [UInt8]? {
        guard case .held(let base, let target) = content else { return nil }
        return side == .base ? base : target
    }

    /// Whether a side has this file.
    package func exists(_ side: PatchSide) -> Bool {
        if case .takenOver = content { true } else { held(side) != nil }
    }

    /// Pairs the files of the two sides by their names, and sorts them by these.
    ///
    /// - Parameter isHeld: Whether the patch holds a file even if both sides have the same.
    static func pairs(base: [Named], target: [Named], isHeld: (String) -> Bool) -> [PatchSideFile] {
        let baseByName = Dictionary(base.map { ($0.name, $0.bytes) }, uniquingKeysWith: { $1 })
        let targetNames = Set(target.map(\.name))
        let files = target.map { file in
            let before = baseByName[file.name]
            guard before == file.bytes, !isHeld(file.name) else {
                return PatchSideFile(name: file.name, content: .held(base: before, target: file.bytes))
            }
            return PatchSideFile(
                name: file.name, content: .takenOver(size: file.bytes.count, digest: PatchDigest.of(file.bytes)))
        }
        let all =
            files
            + base.filter { !targetNames.contains($0.name) }.map {
                PatchSideFile(name: $0.name, content: .held(base: $0.bytes, target: nil))
            }
        return all.sorted { $0.name.precedesByBytes($1.name) }
    }

    /// A file's name and bytes.
    struct Named {
        let name: String
        let bytes: [UInt8]

        init(_ file: SideFile) throws {
            name = file.name.string
            bytes = try file.bytes()
        }
    }
}
