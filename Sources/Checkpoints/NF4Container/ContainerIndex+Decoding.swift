import Tensors

extension ContainerIndex {
    /// Reads an index and checks that what it says can be: counts and sizes are bounded by the file, names are unique,
    /// every byte of every item lies in exactly one chunk, and the streams fill the data region without holes.
    ///
    /// - Parameter dataEnd: Where the data region must end, which is where the index starts.
    package init(_ bytes: [UInt8], aligned: Bool, dataEnd: Int) throws(SealedFileProblem) {
        var cursor = IndexCursor(bytes[...])
        pieceSizeLog2 = Int(try cursor.byte())
        guard NF4ContainerFormat.pieceSizeLog2Range.contains(pieceSizeLog2) else {
            throw .invalidIndex(reason: "pieces of 2^\(pieceSizeLog2) bytes are outside what the format allows")
        }
        let limit = NF4ContainerFormat.maximumItemCount
        modelCount = try cursor.count(of: "tensors", limit: limit)
        adapterTensorCount = try cursor.count(of: "adapter tensors", limit: limit - modelCount)
        sideFileCount = try cursor.count(of: "side files", limit: limit - modelCount - adapterTensorCount)
        hasProvenance = try cursor.count(of: "provenances", limit: 1) == 1
        var flags: [UInt8] = []
        var name: [UInt8] = []
        for number in 0..<(modelCount + adapterTensorCount + sideFileCount) {
            let text = try cursor.name(after: &name)
            guard number < modelCount + adapterTensorCount else {
                items.append(ContainerIndex.blob(text, byteCount: try cursor.number()))
                continue
            }
            let (tensor, quantizationFlags) = try cursor.tensor(text)
            items.append(tensor)
            flags.append(quantizationFlags)
        }
        if hasProvenance { items.append(ContainerIndex.blob("", byteCount: try cursor.number())) }
        for item in items[sideFileRange.lowerBound...] {
            guard item.elementCount <= NF4ContainerFormat.maximumSideFileSize else {
                throw .invalidIndex(reason: "a side file of \(item.elementCount) bytes is larger than allowed")
            }
        }
        for item in modelRange { try cursor.readDetails(of: &items[item], flags: flags[item]) }
        for item in adapterRange where items[item].encoding.denseDType == nil {
            throw .invalidIndex(reason: "the adapter tensor \"\(items[item].name)\" is quantized")
        }
        for _ in 0..<(try cursor.count(of: "metadata entries")) {
            let key = try cursor.string()
            guard metadata.updateValue(try cursor.string(), forKey: key) == nil else {
                throw .invalidIndex(reason: "the metadata key \"\(key)\" stands twice")
            }
        }
        try readAdapters(&cursor)
        try checkNames()
        try readChunks(&cursor)
        guard cursor.isAtEnd else { throw .invalidIndex(reason: "it goes on after its end") }
        guard let end = placeStreams(aligned: aligned), end == dataEnd else {
            throw .invalidIndex(reason: "the data does not fill the file between header and index")
        }
    }

    private mutating func readAdapters(_ cursor: inout IndexCursor) throws(SealedFileProblem) {
        var nextTensor = adapterRange.lowerBound
        for _ in 0..<(try cursor.count(of: "adapters")) {
            let name = try cursor.string()
            let weight: UInt64 = try cursor.fixed()
            let configuration = Array(try cursor.bytes(cursor.number()))
            let tensorCount = try cursor.number()
            guard tensorCount <= adapterRange.upperBound - nextTensor else {
                throw .invalidIndex(reason: "the adapter \"\(name)\" has more tensors than there are")
            }
            let tensors = Array(items[nextTensor..<(nextTensor + tensorCount)])
            nextTensor += tensorCount
            var modules: [NF4ContainerAdapter.Module] = []
            for _ in 0..<(try cursor.count(of: "modules")) {
                modules.append(try cursor.module(tensorCount: tensorCount))
            }
            adapters.append(
                NF4ContainerAdapter(
                    name: name, weight: Double(bitPattern: weight), configuration: configuration, tensors: tensors,
                    modules: modules))
        }
        guard nextTensor == adapterRange.upperBound else {
            throw .invalidIndex(reason: "some adapter tensors belong to no adapter")
        }
    }

    private func checkNames() throws(SealedFileProblem) {
        try ContainerIndex.checkUnique(items[modelRange].lazy.map(\.name), "tensor")
        try ContainerIndex.checkUnique(items[sideFileRange].lazy.map(\.name), "side file")
        try ContainerIndex.checkUnique(adapters.lazy.map(\.name), "adapter")
        for adapter in adapters {
            try ContainerIndex.checkUnique(adapter.tensors.lazy.map(\.name), "adapter tensor")
            try ContainerIndex.checkUnique(adapter.modules.lazy.map(\.name), "adapter module")
        }
        for item in items[sideFileRange] where !isPlainFileName(item.name) {
            throw .invalidIndex(reason: "\"\(item.name)\" is no name for a side file")
        }
    }

    private static func checkUnique(_ names: some Sequence<String>, _ thing: String) throws(SealedFileProblem) {
        // Bytes, not characters: two spellings of one character are two names.
        var seen = Set<[UInt8]>()
        for name in names where !seen.insert(Array(name.utf8)).inserted {
            throw .invalidIndex(reason: "the \(thing) \"\(name)\" stands twice")
        }
    }

    // MARK: - Chunks

    private mutating func readChunks(_ cursor: inout IndexCursor) throws(SealedFileProblem) {
        var nextPiece = [Int](repeating: 0, count: items.count)
        for _ in 0..<(try cursor.count(of: "chunks")) {
            let members = try cursor.chunkItems(itemCount: items.count)
            try checkMembers(members)
            var chunk = ContainerChunk(items: members, piece: nextPiece[members[0]], of: self)
            for item in chunk.items {
                let pieceCount = items[item].pieceCount(pieceSizeLog2: pieceSizeLog2)
                // A piece beyond the last, and a second piece in a group, are both one chunk too many.
                guard nextPiece[item] == chunk.piece, chunk.piece < pieceCount,
                    chunk.items.count == 1 || pieceCount == 1
                else { throw .invalidIndex(reason: "\"\(items[item].name)\" lies in too many chunks") }
                nextPiece[item] += 1
            }
            if chunk.piece > 0, chunks.last?.items != chunk.items {
                throw .invalidIndex(reason: "the pieces of \"\(items[chunk.items[0]].name)\" lie apart")
            }
            for part in chunk.parts {
                let width = items[members[0]].planeWidth(of: part.part)
                chunk.streams.append(try cursor.stream(part, planeWidth: width))
            }
            chunks.append(chunk)
        }
        for (item, count) in nextPiece.enumerated()
        where count != items[item].pieceCount(pieceSizeLog2: pieceSizeLog2) {
            throw .invalidIndex(reason: "part of \"\(items[item].name)\" lies in no chunk")
        }
    }

    /// Items that share a chunk are of one kind and section, and small.
    private func checkMembers(_ members: [Int]) throws(SealedFileProblem) {
        guard members.count > 1 else { return }
        let kind = ChunkKind(items[members[0]])
        let section = section(of: members[0])
        var byteCount = 0
        for item in members {
            byteCount += min(items[item].byteCount(of: items[item].mainPart), 1 << pieceSizeLog2)
            guard ChunkKind(items[item]) == kind, self.section(of: item) == section,
                byteCount <= 1 << pieceSizeLog2
            else { throw .invalidIndex(reason: "\"\(items[item].name)\" shares a chunk with what it does not fit") }
        }
    }

    package func section(of item: Int) -> NF4ContainerDamage.Kind {
        if modelRange.contains(item) { return .tensor }
        if adapterRange.contains(item) { return .adapterTensor }
        return sideFileRange.contains(item) ? .sideFile : .provenance
    }
}

/// Whether a side file may have this name: a path below the model's directory that cannot lead out of it.
package func isPlainFileName(_ name: String) -> Bool {
    let components = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    return components.allSatisfy { component in
        !component.isEmpty && !component.elementsEqual(".".utf8) && !component.elementsEqual("..".utf8)
            && component.allSatisfy { $0 >= 0x20 && $0 != UInt8(ascii: "\\") && $0 != 0x7F }
    }
}

extension IndexCursor {
    /// A name that is given as what it shares with the one before it, and the rest.
    fileprivate mutating func name(after previous: inout [UInt8]) throws(SealedFileProblem) -> String {
        let shared = try number()
        let rest = try bytes(number())
        guard shared <= previous.count, shared + rest.count <= NF4ContainerFormat.maximumNameSize else {
            throw .invalidIndex(reason: "a name shares more with the one before it than that has, or is too long")
        }
        previous.replaceSubrange(shared..., with: rest)
        guard let name = String(validating: previous, as: UTF8.self) else {
            throw .invalidIndex(reason: "a name is not UTF-8")
        }
        return name
    }

    fileprivate mutating func dtype() throws(SealedFileProblem) -> DType {
        let code = Int(try byte())
        guard code < NF4ContainerFormat.dtypes.count else {
            throw .invalidIndex(reason: "there is no dtype with the number \(code)")
        }
        return NF4ContainerFormat.dtypes[code]
    }

    fileprivate mutating func shape() throws(SealedFileProblem) -> [Int] {
        var shape: [Int] = []
        for _ in 0..<(try count(of: "dimensions", limit: NF4ContainerFormat.maximumRank)) { shape.append(try number()) }
        return shape
    }

    /// A tensor without its details, and the flags that say which details follow.
    fileprivate mutating func tensor(
        _ name: String
    ) throws(SealedFileProblem) -> (tensor: LogicalTensor, flags: UInt8) {
        let code = try byte()
        guard code >= NF4ContainerFormat.quantTypeBase else {
            guard Int(code) < NF4ContainerFormat.dtypes.count else {
                throw .invalidIndex(reason: "\"\(name)\" has an encoding with the unknown number \(code)")
            }
            let dtype = NF4ContainerFormat.dtypes[Int(code)]
            let shape = try shape()
            guard let elements = checkedElementCount(shape), dtype.byteCount(elements: elements) != nil else {
                throw .invalidIndex(reason: "the size of \"\(name)\" overflows or fills no whole number of bytes")
            }
            return (LogicalTensor(name: name, shape: shape, encoding: .dense(dtype)), 0)
        }
        let type = Int(code - NF4ContainerFormat.quantTypeBase)
        guard type < NF4ContainerFormat.quantTypes.count else {
            throw .invalidIndex(reason: "\"\(name)\" has an encoding with the unknown number \(code)")
        }
        let shape = try shape()
        guard let elements = checkedElementCount(shape), elements <= Int.max / 64 else {
            throw .invalidIndex(reason: "the size of \"\(name)\" overflows")
        }
        var quantization = BlockQuantization(
            quantType: NF4ContainerFormat.quantTypes[type], blocksize: try blocksize(name),
            dtype: try quantStateDType(name))
        let flags = try byte()
        let storage = flags >> QuantizationFlags.storageShift & 3
        let quantState = flags >> QuantizationFlags.quantStateShift & 3
        let hasDouble = flags & QuantizationFlags.doubleQuantization != 0
        guard flags < 1 << 6, storage < 3, quantState < 3, storage > 0 || quantState == 0,
            hasDouble || flags & QuantizationFlags.ownCodebook == 0
        else { throw .invalidIndex(reason: "\"\(name)\" has unknown quantization flags \(flags)") }
        if hasDouble { quantization.doubleQuantization = DoubleQuantization(blocksize: try blocksize(name)) }
        return (LogicalTensor(name: name, shape: shape, encoding: .blockQuantized(quantization)), flags)
    }

    private mutating func quantStateDType(_ name: String) throws(SealedFileProblem) -> DType {
        let dtype = try dtype()
        guard QuantState.dtypes.contains(dtype) else {
            throw .invalidIndex(reason: "the quant state of \"\(name)\" says \(dtype.rawValue)")
        }
        return dtype
    }

    private mutating func blocksize(_ name: String) throws(SealedFileProblem) -> Int {
        let exponent = Int(try byte())
        guard exponent < 16, BlockQuantization.validBlocksizes.contains(1 << exponent) else {
            throw .invalidIndex(reason: "\"\(name)\" has a blocksize of 2^\(exponent)")
        }
        return 1 << exponent
    }

    private mutating func finite(of tensor: LogicalTensor) throws(SealedFileProblem) -> Float {
        let number = Float(bitPattern: try fixed())
        guard number.isFinite else {
            throw .invalidIndex(reason: "\"\(tensor.name)\" has an offset or a codebook that is not finite")
        }
        return number
    }

    /// The numbers and texts of a quantized tensor that do not compress.
    fileprivate mutating func readDetails(
        of tensor: inout LogicalTensor, flags: UInt8
    ) throws(SealedFileProblem) {
        guard var quantization = tensor.encoding.blockQuantization else { return }
        if quantization.doubleQuantization != nil {
            quantization.doubleQuantization?.offset = try finite(of: tensor)
            if flags & QuantizationFlags.ownCodebook != 0 {
                var codebook: [Float] = []
                for _ in 0..<256 { codebook.append(try finite(of: tensor)) }
                quantization.doubleQuantization?.codebook = codebook
            }
        }
        switch flags >> QuantizationFlags.storageShift & 3 {
        case QuantizationFlags.standardStorage:
            quantization.storage = BitsAndBytesStorage(dtype: .u8, shape: tensor.standardCodeShape)
        case QuantizationFlags.otherStorage:
            quantization.storage = BitsAndBytesStorage(dtype: try dtype(), shape: try shape())
        default: break
        }
        tensor.encoding = .blockQuantized(quantization)
        switch flags >> QuantizationFlags.quantStateShift & 3 {
        case QuantizationFlags.standardQuantState: quantization.storage?.quantState = tensor.standardQuantState
        case QuantizationFlags.otherQuantState: quantization.storage?.quantState = Array(try bytes(number()))
        default: return
        }
        tensor.encoding = .blockQuantized(quantization)
    }

    fileprivate mutating func module(tensorCount: Int) throws(SealedFileProblem) -> NF4ContainerAdapter.Module {
        let name = try string()
        let rank = try number()
        let scaling: UInt64 = try fixed()
        let fanInFanOut = try byte()
        guard fanInFanOut < 2 else { throw .invalidIndex(reason: "the module \"\(name)\" has unknown flags") }
        var factors: [NF4ContainerAdapter.Factor] = []
        for _ in 0..<(try count(of: "factors", limit: NF4ContainerAdapter.Role.allCases.count)) {
            guard let role = NF4ContainerAdapter.Role(rawValue: try byte()) else {
                throw .invalidIndex(reason: "the module \"\(name)\" has a factor of an unknown kind")
            }
            let tensor = try number()
            guard tensor < tensorCount else {
                throw .invalidIndex(reason: "the module \"\(name)\" has a factor that does not exist")
            }
            factors.append(NF4ContainerAdapter.Factor(role: role, tensor: tensor))
        }
        return NF4ContainerAdapter.Module(
            name: name, rank: rank, scaling: Double(bitPattern: scaling), fanInFanOut: fanInFanOut == 1,
            factors: factors)
    }

    fileprivate mutating func chunkItems(itemCount: Int) throws(SealedFileProblem) -> [Int] {
        let count = try count(of: "items of a chunk")
        guard count > 0 else { throw .invalidIndex(reason: "a chunk holds nothing") }
        var items: [Int] = []
        var item = 0
        for _ in 0..<count {
            let step = try number()
            guard step < itemCount - item, step > 0 || items.isEmpty else {
                throw .invalidIndex(reason: "a chunk holds items that do not exist or stand twice")
            }
            item += step
            items.append(item)
        }
        return items
    }

    fileprivate mutating func stream(
        _ part: ContainerChunk.Part, planeWidth: Int
    ) throws(SealedFileProblem) -> StoredStream {
        let byteCount = part.byteCount
        guard let method = StreamMethod(rawValue: try byte()) else {
            throw .invalidIndex(reason: "a stream is stored in an unknown way")
        }
        let storedSize = try number()
        let isPossible =
            switch method {
            case .stored: storedSize == byteCount
            case .deflate: byteCount / Zlib.maximumRatio <= storedSize && storedSize < byteCount
            case .deflateByScale:
                part.part == .codes && byteCount / Zlib.maximumRatio <= storedSize
                    && storedSize < byteCount
            case .planes:
                planeWidth > 1 && byteCount / Zlib.maximumRatio <= storedSize
                    && storedSize < byteCount
            }
        guard isPossible else {
            throw .invalidIndex(reason: "\(storedSize) stored bytes cannot hold \(byteCount)")
        }
        return StoredStream(method: method, storedSize: storedSize, crc: try fixed())
    }
}
