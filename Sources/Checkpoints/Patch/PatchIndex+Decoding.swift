import Tensors

extension PatchIndex {
    /// Reads an index and checks that what it says can be: headers are valid, names lead nowhere else, counts are bounded by
    /// the file, and the streams fill the data region without holes.
    ///
    /// - Parameter dataEnd: Where the data region must end, which is where the index starts.
    package init(_ bytes: [UInt8], dataEnd: Int) throws(SealedFileProblem) {
        var cursor = IndexCursor(bytes[...])
        self = try PatchIndex.read(&cursor)
        guard cursor.isAtEnd else { throw .invalidIndex(reason: "it goes on after its end") }
        try placeStreams(dataEnd: dataEnd)
    }

    private static func read(_ cursor: inout IndexCursor) throws(SealedFileProblem) -> PatchIndex {
        let pieceSizeLog2 = Int(try cursor.byte())
        guard PatchFormat.pieceSizeLog2Range.contains(pieceSizeLog2) else {
            throw .invalidIndex(reason: "pieces of 2^\(pieceSizeLog2) bytes are outside what the format allows")
        }
        let base = try tree(&cursor, headersOf: [])
        let target = try tree(&cursor, headersOf: base.files)
        var sideFiles: [PatchSideFile] = []
        for _ in 0..<(try cursor.count(of: "side files")) { sideFiles.append(try cursor.sideFile()) }
        for side in PatchSide.allCases {
            let tree = side == .base ? base : target
            try checkNames(tree.files.map(\.name) + sideFiles.filter { $0.exists(side) }.map(\.name))
        }
        let digests = (Array(try cursor.bytes(PatchDigest.byteCount)), Array(try cursor.bytes(PatchDigest.byteCount)))
        // Each piece takes at least 5 bytes below: what claims more pieces is not even cut into them.
        var pieceCount = 0
        for entry in base.entries + target.entries {
            pieceCount += entry.byteCount >> pieceSizeLog2
            guard pieceCount <= 2 * cursor.remaining else {
                throw .invalidIndex(reason: "its tensors have more pieces than it describes")
            }
        }
        var index = PatchIndex(base: base, target: target, pieceSizeLog2: pieceSizeLog2)
        index.sideFiles = sideFiles
        (index.baseDigest, index.targetDigest) = digests
        for (number, chunk) in index.items.chunks.enumerated() {
            index.chunks.append(
                try cursor.chunk(memberCount: chunk.items.count, presence: index.presence(ofChunk: number)))
        }
        return index
    }

    private static func tree(
        _ cursor: inout IndexCursor, headersOf twins: [PatchTree.File]
    ) throws(SealedFileProblem) -> PatchTree {
        var tree = PatchTree()
        var names: Set<String> = []
        for _ in 0..<(try cursor.count(of: "files of weights")) {
            let name = try cursor.string()
            let size = try cursor.number()
            let twin = try cursor.number()
            guard twin <= twins.count else { throw .invalidIndex(reason: "\"\(name)\" has the header of no file") }
            let original = twin > 0 ? twins[twin - 1] : nil
            let header = if let original { original.header } else { Array(try cursor.bytes(cursor.number())) }
            guard header.count <= SafetensorsHeader.maximumLength, size >= 8 + header.count else {
                throw .invalidIndex(reason: "\"\(name)\" is shorter than its header, or that is too long")
            }
            // Any number of files may refer to one header, which is read once.
            let entries =
                if let original, original.size == size {
                    original.entries
                } else {
                    try PatchIndex.entries(of: name, header: header, size: size)
                }
            for entry in entries where !names.insert(entry.name).inserted {
                throw .invalidIndex(reason: "the tensor \"\(entry.name)\" stands twice")
            }
            tree.files.append(PatchTree.File(name: name, header: header, entries: entries))
        }
        return tree
    }

    private static func entries(
        of name: String, header: [UInt8], size: Int
    ) throws(SealedFileProblem) -> [SafetensorsEntry] {
        do throws(SafetensorsProblem) {
            return try SafetensorsHeader(json: header, fileSize: size).entries
        } catch {
            throw .invalidIndex(reason: "the header of \"\(name)\": \(error)")
        }
    }

    private static func checkNames(_ names: [String]) throws(SealedFileProblem) {
        var seen: Set<String> = []
        for name in names {
            guard isPlainFileName(name), seen.insert(name).inserted else {
                throw .invalidIndex(reason: "\"\(name)\" is no name for a file, or stands twice")
            }
        }
    }

    private mutating func placeStreams(dataEnd: Int) throws(SealedFileProblem) {
        var position = SealedHeader.byteCount
        for number in chunks.indices {
            chunks[number].offset = position
            let (end, overflow) = position.addingReportingOverflow(chunks[number].storedSize)
            guard !overflow, end <= dataEnd else { break }
            position = end
        }
        guard position == dataEnd else {
            throw .invalidIndex(reason: "the data does not fill the file between header and index")
        }
    }
}

extension IndexCursor {
    fileprivate mutating func sideFile() throws(SealedFileProblem) -> PatchSideFile {
        let name = try string()
        switch try byte() {
        case SideFileState.takenOver:
            let size = try number()
            guard size <= PatchFormat.maximumSideFileSize else {
                throw .invalidIndex(reason: "\"\(name)\" is larger than a side file may be")
            }
            return PatchSideFile(
                name: name, content: .takenOver(size: size, digest: Array(try bytes(PatchDigest.byteCount))))
        case SideFileState.heldAlike:
            let bytes = Array(try bytes(number()))
            return PatchSideFile(name: name, content: .held(base: bytes, target: bytes))
        case SideFileState.baseOnly:
            return PatchSideFile(name: name, content: .held(base: Array(try bytes(number())), target: nil))
        case SideFileState.targetOnly:
            return PatchSideFile(name: name, content: .held(base: nil, target: Array(try bytes(number()))))
        case SideFileState.heldBoth:
            let base = Array(try bytes(number()))
            return PatchSideFile(name: name, content: .held(base: base, target: Array(try bytes(number()))))
        default: throw .invalidIndex(reason: "what \"\(name)\" is to both sides is unknown")
        }
    }

    fileprivate mutating func chunk(
        memberCount: Int, presence: PatchPresence
    ) throws(SealedFileProblem) -> PatchIndex.Chunk {
        var base: [UInt32] = []
        var target: [UInt32] = []
        for _ in 0..<memberCount {
            base.append(presence == .targetOnly ? 0 : try fixed())
            let second: UInt32 = presence == .baseOnly ? 0 : try fixed()
            target.append(presence == .both ? (base.last ?? 0) ^ second : second)
        }
        let storedSize = try number()
        return PatchIndex.Chunk(
            baseChecksums: base, targetChecksums: target, storedSize: storedSize,
            checksum: storedSize > 0 ? try fixed() : 0)
    }
}
