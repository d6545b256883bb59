import SampleModels
import SystemPackage
import Tensors
import TestSupport
import Testing
import Workers

@Suite struct WindowedOutputTests {
    /// A byte that tells places apart, also those a window's length away from each other.
    private func byte(at offset: Int) -> UInt8 { UInt8(truncatingIfNeeded: offset &* 2_654_435_761 >> 13) }

    private func bytes(_ range: Range<Int>) -> [UInt8] { range.map(byte(at:)) }

    /// 0..<count cut at random places.
    private func pieces(_ count: Int, longest: Int, _ random: inout some RandomNumberGenerator) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        var start = 0
        while start < count {
            let end = min(start + Int.random(in: 0...longest, using: &random), count)
            pieces.append(start..<end)
            start = end
        }
        return pieces
    }

    /// In any order, from any number of threads, with some of it known from the start: the file is what was given.
    @Test(arguments: [
        (1, 1), (300, 100), (131_072, 20_000), (262_144, 300_000), (1_500_001, 70_000), (4_000_003, 400_000),
    ])
    func everyPieceArrives(byteCount: Int, longest: Int) throws {
        var random = SeededGenerator(seed: UInt64(byteCount))
        for (threads, isShuffled) in [(1, false), (4, false), (4, true)] {
            let directory = try TemporaryDirectory()
            let path = directory.path.appending("output")
            let inOrder = pieces(byteCount, longest: longest, &random)
            let given = isShuffled ? inOrder.shuffled(using: &random) : inOrder
            let known = given.indices.filter { _ in Int.random(in: 0..<4, using: &random) == 0 }
            let file = try OutputFile(creating: path)
            try file.preallocate(byteCount)
            let output = WindowedOutput(
                file, byteCount: byteCount,
                constants: known.map { (offset: given[$0].lowerBound, bytes: bytes(given[$0])) })
            let others = Set(given.indices).subtracting(known).sorted()
            let failures = mapOnThreads(others.count, threads: threads) { index -> Bool in
                let piece = given[others[index]]
                guard index % 2 == 0 else { return (try? output.write(bytes(piece), at: piece.lowerBound)) == nil }
                let filled = try? output.write(count: piece.count, at: piece.lowerBound) { room, first in
                    room.copyBytes(from: bytes(piece.lowerBound + first..<piece.lowerBound + first + room.count))
                }
                return filled == nil
            }
            #expect(!failures.contains(true))
            try output.finish()
            let input = try InputFile(path: path)
            #expect(input.size == byteCount)
            let found = try input.bytes(0..<byteCount)
            #expect(found.indices.first { found[$0] != byte(at: $0) } == nil, "\(threads) threads")
        }
    }

    /// What nobody gives stays as it is in the file, and what is known does not wait for anything else.
    @Test func gapsAreLeftAlone() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path.appending("output")
        let file = try OutputFile(creating: path)
        try file.write([UInt8](repeating: 9, count: 1_000_000), at: 0)
        let output = WindowedOutput(
            file, byteCount: 1_000_000,
            constants: [(offset: 999_990, bytes: [1, 2]), (offset: 131_070, bytes: [3, 4, 5, 6])])
        for place in [400_000, 10, 600_000, 20] { try output.write([7, 8], at: place) }
        try output.finish()
        var expected = [UInt8](repeating: 9, count: 1_000_000)
        for place in [400_000, 10, 600_000, 20] { expected.replaceSubrange(place..<place + 2, with: [7, 8]) }
        expected.replaceSubrange(999_990..<999_992, with: [1, 2])
        expected.replaceSubrange(131_070..<131_074, with: [3, 4, 5, 6])
        #expect(try InputFile(path: path).bytes(0..<1_000_000) == expected)
    }

    /// What is to come after all that was expected keeps nothing in memory.
    @Test(arguments: [1, 4])
    func nothingWaitsForWhatComesLast(threads: Int) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path.appending("output")
        let file = try OutputFile(creating: path)
        try file.preallocate(700_000)
        let expected = 500..<699_000
        let output = WindowedOutput(
            file, byteCount: 700_000, constants: [(offset: 400, bytes: bytes(400..<500))],
            expectedBytes: expected.count)
        let pieces = stride(from: expected.lowerBound, to: expected.upperBound, by: 9000).map {
            $0..<min($0 + 9000, expected.upperBound)
        }
        let failures = mapOnThreads(pieces.count, threads: threads) { index -> Bool in
            (try? output.write(bytes(pieces[index]), at: pieces[index].lowerBound)) == nil
        }
        #expect(!failures.contains(true))
        let input = try InputFile(path: path)
        #expect(try input.bytes(expected) == bytes(expected))
        try output.write(bytes(699_000..<700_000), at: 699_000)
        try output.write(bytes(0..<400), at: 0)
        try output.finish()
        #expect(try input.bytes(0..<700_000) == bytes(0..<700_000))
    }

    /// What could not be put where it goes from is not written, and can be given again.
    @Test func aFailedFillLeavesNothing() throws {
        struct Failure: Error {}
        let directory = try TemporaryDirectory()
        let path = directory.path.appending("output")
        let output = WindowedOutput(
            try OutputFile(creating: path), byteCount: 400_000, expectedBytes: 400_000)
        var rooms: [Range<Int>] = []
        #expect(throws: Failure.self) {
            try output.write(count: 300_000, at: 100_000) { room, first in
                rooms.append(first..<first + room.count)
                if rooms.count == 2 { throw Failure() }
                room.copyBytes(from: bytes(100_000 + first..<100_000 + first + room.count))
            }
        }
        #expect(rooms.count == 2 && rooms[0].lowerBound == 0 && rooms[0].upperBound == rooms[1].lowerBound)
        try output.write(bytes(0..<100_000), at: 0)
        let rest = 100_000 + rooms[0].count
        try output.write(bytes(rest..<400_000), at: rest)
        try output.finish()
        #expect(try InputFile(path: path).bytes(0..<400_000) == bytes(0..<400_000))
    }

    @Test func nothingIsWrittenOfNothing() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path.appending("output")
        let output = WindowedOutput(try OutputFile(creating: path), byteCount: 0, constants: [(offset: 0, bytes: [])])
        try output.write([], at: 0)
        try output.finish()
        #expect(try InputFile(path: path).size == 0)
    }
}
