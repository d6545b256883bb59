import Checkpoints
import SampleModels
import SystemPackage
import Tensors
import TestSupport
import Testing

/// Files whose checksums are right and whose contents are not.
@Suite struct HostileContainerTests {
    private func problem(_ bytes: [UInt8]) throws -> SealedFileProblem? {
        let directory = try TemporaryDirectory()
        try write(bytes, to: directory.file("hostile.nf4"))
        do {
            _ = try NF4ContainerReader(path: directory.file("hostile.nf4"))
            return nil
        } catch CheckpointError.invalidContainer(_, .file(let problem)) {
            return problem
        }
    }

    private func reason(_ index: ContainerIndex, data: [UInt8] = []) throws -> String {
        guard
            case .invalidIndex(let reason) = try problem(
                SealedBytes(index: index.encoded(), data: data, as: NF4ContainerFormat.sealed).assembled())
        else { return "" }
        return reason
    }

    private func index(_ tensors: [LogicalTensor]) -> ContainerIndex {
        var index = ContainerIndex()
        index.pieceSizeLog2 = 16
        index.items = tensors
        index.modelCount = tensors.count
        return index
    }

    private func sound() throws -> [UInt8] {
        let directory = try TemporaryDirectory()
        return try CorruptionTests.sample(directory.file("sound.nf4"), .zlib)
    }

    @Test func otherFilesAreNoContainers() throws {
        #expect(try problem([]) == .otherFormat)
        #expect(try problem(Array("{\"a\": 1}".utf8)) == .otherFormat)
        #expect(
            try problem([0x89, 0x4E, 0x46, 0x34, 0x0A, 0x1A, 0x0A] + [UInt8](repeating: 0, count: 99))
                == .transferredAsText)
    }

    @Test func lengthsAreChecked() throws {
        let bytes = try sound()
        #expect(
            try problem(Array(bytes.dropLast(10)))
                == .wrongLength(expected: UInt64(bytes.count), found: bytes.count - 10))
        #expect(try problem(bytes + [0]) == .wrongLength(expected: UInt64(bytes.count), found: bytes.count + 1))
        #expect(try problem(Array(bytes.prefix(30))) == .wrongLength(expected: 64, found: 30))
    }

    @Test func unknownVersionsAndRequiredFeaturesAreRefused() throws {
        var parts = try SealedBytes(sound(), as: NF4ContainerFormat.sealed)
        parts.header.optionalFeatures = 0xFFFF_FFFF
        #expect(try problem(parts.assembled()) == nil)
        parts.header.requiredFeatures |= 1 << 7 | 1 << 31
        #expect(try problem(parts.assembled()) == .unsupportedFeatures([7, 31]))
        #expect("\(NF4ContainerProblem.file(.unsupportedFeatures([7, 31])))".contains("numbers 7, 31"))
        parts.header.version = 2
        #expect(try problem(parts.assembled()) == .unsupportedVersion(2))
    }

    /// The format compares names by bytes, and models by characters.
    @Test func equivalentNamesMakeNoModel() throws {
        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(seed: 1)
        var model = SampleModel()
        for name in ["caf\u{e9}", "cafe\u{301}"] { model.add(SampleModel.dense(name, [2], .u8), &generator) }
        let path = directory.file("a.nf4")
        try model.write(to: path)
        #expect(try NF4ContainerReader(path: path).tensors.count == 2)
        let error = #expect(throws: CheckpointError.self) { try ModelDirectory(path: path) }
        #expect(error?.description.contains("differ only in how a character is written") == true, "\(error as Any)")
    }

    @Test func theAdapterFlagMustFit() throws {
        var parts = try SealedBytes(sound(), as: NF4ContainerFormat.sealed)
        parts.header.requiredFeatures &= ~NF4ContainerFormat.adaptersFeature
        guard case .invalidIndex = try problem(parts.assembled()) else {
            Issue.record("a reader without adapters would lose the fine-tuning")
            return
        }
    }

    @Test func indexSizesAreBounded() throws {
        // 20 MB of zeros deflate to 20 kB.
        let bomb = SealedBytes(
            index: [UInt8](repeating: 0, count: 20 << 20), as: NF4ContainerFormat.sealed
        ).assembled()
        guard case .impossibleIndex = try problem(bomb) else {
            Issue.record("the index is over its limit")
            return
        }
    }

    @Test func sizesThatOverflowAreRefused() throws {
        for shape in [[Int.max, 2], [1 << 40, 1 << 40], [.max, .max, 0], [1 << 62]] {
            #expect(try reason(index([SampleModel.dense("a", shape, .f32)])).contains("overflows"))
            #expect(try reason(index([SampleModel.quantized("a", shape)])).contains("overflows"))
        }
        #expect(try reason(index([SampleModel.dense("a", [5], .f4)])).contains("whole number of bytes"))
    }

    @Test func quantStatesSayWhatCanBeMadeOfThem() throws {
        for dtype in [DType.i64, .u8, .f64, .f8e4m3] {
            #expect(try reason(index([SampleModel.quantized("a", [64], dtype: dtype)])).contains(dtype.rawValue))
        }
        for offset in [Float.nan, .infinity] {
            var tensor = SampleModel.quantized("a", [64])
            if var quantization = tensor.encoding.blockQuantization {
                quantization.doubleQuantization?.offset = offset
                tensor.encoding = .blockQuantized(quantization)
            }
            #expect(try reason(index([tensor])).contains("not finite"))
        }
    }

    @Test func namesMustBeUnique() throws {
        let twice = index([SampleModel.dense("a", [0], .f32), SampleModel.dense("a", [0], .f32)])
        #expect(try reason(twice).contains("stands twice"))
        var files = ContainerIndex()
        files.items = ["x", "x"].map { ContainerIndex.blob($0, byteCount: 0) }
        files.sideFileCount = 2
        #expect(try reason(files).contains("stands twice"))
    }

    @Test func sideFilesStayInTheirDirectory() throws {
        for name in ["../x", "/x", "a/../../x", "", "a\u{0}b", "a\\b", "a/"] {
            var files = ContainerIndex()
            files.items = [ContainerIndex.blob(name, byteCount: 0)]
            files.sideFileCount = 1
            #expect(try reason(files).contains("no name for a side file"))
        }
    }

    /// Every byte of every tensor lies in exactly one chunk.
    @Test func chunksNeitherOverlapNorLeaveHoles() throws {
        let tensors = [SampleModel.dense("a", [10], .u8), SampleModel.dense("b", [10], .u8)]
        let stream = StoredStream(method: .stored, storedSize: 10, crc: Zlib.crc32([UInt8](repeating: 0, count: 10)))
        func reason(_ chunks: [[Int]], dataSize: Int) throws -> String {
            var index = index(tensors)
            index.chunks = chunks.map { items in
                var chunk = ContainerChunk(items: items, piece: 0, of: index)
                chunk.streams = [stream]
                chunk.streams[0].storedSize = 10 * items.count
                return chunk
            }
            return try self.reason(index, data: [UInt8](repeating: 0, count: dataSize))
        }
        #expect(try reason([[0], [1]], dataSize: 20) == "")
        #expect(try reason([[0, 1]], dataSize: 20) == "")
        #expect(try reason([[0]], dataSize: 10).contains("no chunk"))
        #expect(try reason([[0], [0], [1]], dataSize: 30).contains("too many chunks"))
        #expect(try reason([[0, 1], [1]], dataSize: 30).contains("too many chunks"))
        #expect(try reason([[0], [1]], dataSize: 21).contains("does not fill"))
        #expect(try reason([[0], [1]], dataSize: 19).contains("does not fill"))
    }

    @Test func streamsCannotClaimMoreThanDeflateCanMake() throws {
        var index = index([SampleModel.dense("a", [1 << 16], .u8)])
        var chunk = ContainerChunk(items: [0], piece: 0, of: index)
        chunk.streams = [StoredStream(method: .deflate, storedSize: 20, crc: 0)]
        index.chunks = [chunk]
        #expect(try reason(index, data: [UInt8](repeating: 0, count: 20)).contains("cannot hold"))
    }

    @Test func unlikeTensorsDoNotShareAChunk() throws {
        var index = index([SampleModel.dense("a", [4], .u8), SampleModel.dense("b", [1], .f32)])
        var chunk = ContainerChunk(items: [0, 1], piece: 0, of: index)
        chunk.streams = [StoredStream(method: .stored, storedSize: 8, crc: 0)]
        index.chunks = [chunk]
        #expect(try reason(index, data: [UInt8](repeating: 0, count: 8)).contains("does not fit"))
    }

    /// Names are prefix-coded: a small index must not unfold into enormous ones.
    @Test func longNamesAreRefused() throws {
        let name = String(repeating: "n", count: 5000)
        #expect(try reason(index([SampleModel.dense(name, [0], .u8)])).contains("too long"))
    }

    @Test func damageIsNamed() throws {
        let directory = try TemporaryDirectory()
        var bytes = try sound()
        bytes[70] ^= 1
        try write(bytes, to: directory.file("a.nf4"))
        let reader = try NF4ContainerReader(path: directory.file("a.nf4"))
        let damages = try reader.verify()
        #expect(damages.count == 1)
        #expect("\(try #require(damages.first))".contains("layers.0.q_proj.weight"))
        #expect(throws: CheckpointError.self) { try reader.data(ofTensor: 0) }
        // The rest can still be read.
        _ = try reader.data(ofTensor: 3)
    }

    /// Conversions read tensors in parts.
    @Test(arguments: NF4ContainerWriter.Compression.allCases)
    func damageShowsInPartsToo(compression: NF4ContainerWriter.Compression) throws {
        let directory = try TemporaryDirectory()
        var bytes = try CorruptionTests.sample(directory.file("sound.nf4"), compression)
        let sound = try NF4ContainerReader(path: directory.file("sound.nf4"))
        let codes = try #require(try sound.data(ofTensor: 0)[.codes])
        let place = try #require(compression == .none ? bytes.firstRange(of: codes)?.lowerBound : 70)
        bytes[place] ^= 1
        try write(bytes, to: directory.file("a.nf4"))
        let reader = try NF4ContainerReader(path: directory.file("a.nf4"))
        var part = [UInt8](repeating: 0, count: codes.count / 2)
        #expect(throws: CheckpointError.self) {
            try part.withUnsafeMutableBytes { try reader.read(.codes, ofTensor: 0, at: 1, into: $0) }
        }
    }
}
