import Tensors

/// Constants of patches; formats/patch.md is the specification.
package enum PatchFormat {
    package static let sealed = SealedFormat(
        magic: [0x89, 0x51, 0x50, 0x54, 0x0D, 0x0A, 0x1A, 0x0A], version: 1, knownRequiredFeatures: 0,
        maximumIndexSize: 256 << 20, statesFileLength: false, article: "a", name: "patch",
        wayOut: "qconv patch create makes one")

    /// Bytes of a tensor that are coded together. The digests of checkpoints depend on it.
    package static let standardPieceSizeLog2 = 20
    package static let pieceSizeLog2Range = 16...22

    /// Side files are held in memory whole.
    package static let maximumSideFileSize = 64 << 20
}

/// What the bytes of a tensor are, which decides how differences are coded.
package enum PatchKind: Hashable, Sendable {
    /// Packed 4-bit codes.
    case codes(QuantType)
    /// Little-endian numbers of 1, 2, 4 or 8 bytes.
    case numbers(width: Int)
    /// bitsandbytes' description of a 4-bit weight: a text.
    case quantState

    /// Bytes of a number whose bytes differ in kind; else 1.
    var planeWidth: Int {
        if case .numbers(let width) = self { width } else { 1 }
    }
}

/// Which of the two checkpoints has something.
package enum PatchPresence: Hashable, Sendable {
    case both
    case baseOnly
    case targetOnly

    func includes(_ side: PatchSide) -> Bool {
        switch self {
        case .both: true
        case .baseOnly: side == .base
        case .targetOnly: side == .target
        }
    }
}

/// The two checkpoints between which a patch leads.
public enum PatchSide: String, CaseIterable, Hashable, Sendable {
    /// What the patch was made from.
    case base
    /// What it makes.
    case target

    package var other: PatchSide { self == .base ? .target : .base }
}
