import Tensors

/// Everything about a patch but the differences themselves.
package struct PatchIndex: Sendable {
    package var base = PatchTree()
    package var target = PatchTree()
    package var sideFiles: [PatchSideFile] = []
    package var items: PatchItems
    /// One for each of the items' chunks.
    package var chunks: [Chunk] = []
    package var baseDigest: [UInt8] = []
    package var targetDigest: [UInt8] = []

    /// What is known of a chunk.
    package struct Chunk: Hashable, Sendable {
        /// CRC-32 of each member's bytes in the base and in the target; 0 on a side that has not got them.
        package var baseChecksums: [UInt32]
        package var targetChecksums: [UInt32]
        /// Where the stream starts in the file.
        package var offset = 0
        /// Bytes of the stream; 0 when base and target are equal.
        package var storedSize: Int
        /// CRC-32 of the stream.
        package var checksum: UInt32

        package init(
            baseChecksums: [UInt32], targetChecksums: [UInt32], storedSize: Int, checksum: UInt32
        ) {
            self.baseChecksums = baseChecksums
            self.targetChecksums = targetChecksums
            self.storedSize = storedSize
            self.checksum = checksum
        }

        func checksums(_ side: PatchSide) -> [UInt32] { side == .base ? baseChecksums : targetChecksums }
    }

    package init(base: PatchTree, target: PatchTree, pieceSizeLog2: Int) {
        self.base = base
        self.target = target
        items = PatchItems(base: base, target: target, pieceSizeLog2: pieceSizeLog2)
    }

    package func tree(_ side: PatchSide) -> PatchTree { side == .base ? base : target }
    package func digest(_ side: PatchSide) -> [UInt8] { side == .base ? baseDigest : targetDigest }

    /// Which sides have the bytes of a chunk; all its members are alike.
    package func presence(ofChunk chunk: Int) -> PatchPresence {
        items.chunks[chunk].items.first.map { items.all[$0].presence } ?? .both
    }

    package func kind(ofChunk chunk: Int) -> PatchKind {
        items.chunks[chunk].items.first.map { items.all[$0].kind } ?? .numbers(width: 1)
    }
}

// MARK: - Encoding

extension PatchIndex {
    /// The index as formats/patch.md describes it, before it is deflated.
    package func encoded() -> [UInt8] {
        var bytes: [UInt8] = [UInt8(items.pieceSizeLog2)]
        for side in PatchSide.allCases {
            bytes.appendNumber(tree(side).files.count)
            for file in tree(side).files {
                bytes.appendString(file.name)
                bytes.appendNumber(file.size)
                // Headers are often the same: a merge changes no name, dtype or shape.
                let twin = side == .target ? base.files.firstIndex { $0.header == file.header } : nil
                bytes.appendNumber(twin.map { $0 + 1 } ?? 0)
                if twin == nil { bytes.appendBytes(file.header) }
            }
        }
        bytes.appendNumber(sideFiles.count)
        for file in sideFiles { bytes.appendSideFile(file) }
        bytes += baseDigest + targetDigest
        for (number, chunk) in chunks.enumerated() {
            let presence = presence(ofChunk: number)
            for (base, target) in zip(chunk.baseChecksums, chunk.targetChecksums) {
                if presence != .targetOnly { bytes.appendLittleEndian(base) }
                // Zero where they are equal, which takes next to nothing.
                if presence != .baseOnly { bytes.appendLittleEndian(presence == .both ? base ^ target : target) }
            }
            bytes.appendNumber(chunk.storedSize)
            if chunk.storedSize > 0 { bytes.appendLittleEndian(chunk.checksum) }
        }
        return bytes
    }
}

/// The byte that says what follows about a side file.
enum SideFileState {
    static let takenOver: UInt8 = 0
    static let heldAlike: UInt8 = 1
    static let baseOnly: UInt8 = 2
    static let targetOnly: UInt8 = 3
    static let heldBoth: UInt8 = 4
}

extension [UInt8] {
    fileprivate mutating func appendBytes(_ bytes: [UInt8]) {
        appendNumber(bytes.count)
        append(contentsOf: bytes)
    }

    fileprivate mutating func appendSideFile(_ file: PatchSideFile) {
        appendString(file.name)
        switch file.content {
        case .takenOver(let size, let digest):
            append(SideFileState.takenOver)
            appendNumber(size)
            append(contentsOf: digest)
        case .held(let base?, let target?) where base == target:
            append(SideFileState.heldAlike)
            appendBytes(base)
        case .held(let base?, let target?):
            append(SideFileState.heldBoth)
            appendBytes(base)
            appendBytes(target)
        case .held(let base, let target):
            append(base == nil ? SideFileState.targetOnly : SideFileState.baseOnly)
            appendBytes(base ?? target ?? [])
        }
    }
}
