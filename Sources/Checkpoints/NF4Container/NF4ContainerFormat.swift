import Tensors

/// Constants of the NF4 container; formats/nf4-container.md is the specification.
package enum NF4ContainerFormat {
    package static let sealed = SealedFormat(
        magic: [0x89, 0x4E, 0x46, 0x34, 0x0D, 0x0A, 0x1A, 0x0A], version: 1,
        knownRequiredFeatures: alignedFeature | adaptersFeature, maximumIndexSize: 16 << 20, statesFileLength: true,
        article: "an", name: "NF4 container", wayOut: nil)

    /// Streams are stored as they are, and the parts of tensors aligned, so that the file can be memory-mapped.
    package static let alignedFeature: UInt32 = 1 << 0
    /// The file holds adapters: a reader that overlooked them would lose the fine-tuning.
    package static let adaptersFeature: UInt32 = 1 << 1
    package static let alignment = 64

    /// 2²⁰: a piece holds a mebibyte of codes (two million weights) or of values.
    package static let standardPieceSizeLog2 = 20
    package static let pieceSizeLog2Range = 16...22

    // Limits that keep memory and time in proportion to the file.

    package static let maximumItemCount = 1 << 17
    package static let maximumRank = 64
    /// Bytes of UTF-8. Names are stored as what they do not share with the one before, so a small index could hold
    /// enormous ones.
    package static let maximumNameSize = 1024
    /// Side files and provenance are handed out whole.
    package static let maximumSideFileSize = 64 << 20
}

/// How a stream of bytes is stored.
package enum StreamMethod: UInt8, Hashable, Sendable {
    case stored = 0
    case deflate = 1
    /// Codes: their blocks in ascending order of their scales, deflated.
    case deflateByScale = 2
    /// Numbers of 2, 4 or 8 bytes: first bytes, second bytes and so on, each plane stored or deflated.
    case planes = 3
}

/// A compressed run of bytes in the file.
package struct StoredStream: Hashable, Sendable {
    package var method: StreamMethod
    package var offset = 0
    package var storedSize: Int
    package var crc: UInt32

    package init(method: StreamMethod, storedSize: Int, crc: UInt32) {
        self.method = method
        self.storedSize = storedSize
        self.crc = crc
    }
}

extension NF4ContainerFormat {
    /// The bytes by which dtypes are known in an index: the position in this list.
    package static let dtypes: [DType] = [
        .bool, .f4, .f6e2m3, .f6e3m2, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz, .i16, .u16, .f16,
        .bf16, .i32, .u32, .f32, .c64, .f64, .i64, .u64,
    ]

    package static let quantTypeBase: UInt8 = 64
    package static let quantTypes: [QuantType] = [.nf4, .fp4]
}

extension SealedHeader {
    package var isAligned: Bool { requiredFeatures & NF4ContainerFormat.alignedFeature != 0 }
    package var hasAdapters: Bool { requiredFeatures & NF4ContainerFormat.adaptersFeature != 0 }
}
