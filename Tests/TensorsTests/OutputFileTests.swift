import SampleModels
import SystemPackage
import Tensors
import TestSupport
import Testing
import Workers

#if os(Linux)
import Foundation
#endif

@Suite struct OutputFileTests {
    /// Whatever several threads write at the same time is in the file once they are done.
    @Test(arguments: [1, 100, 70_000, 300_000])
    func threadsWriteToOneFile(pieceSize: Int) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path.appending("output")
        let file = try OutputFile(creating: path)
        let pieces = 48
        let failures = mapOnThreads(pieces, threads: 6) { piece -> Bool in
            (try? file.write([UInt8](repeating: UInt8(piece + 1), count: pieceSize), at: piece * pieceSize)) == nil
        }
        #expect(!failures.contains(true))
        let input = try InputFile(path: path)
        #expect(input.size == pieces * pieceSize)
        for piece in 0..<pieces {
            let found = try input.bytes(piece * pieceSize..<(piece + 1) * pieceSize)
            #expect(found.allSatisfy { $0 == UInt8(piece + 1) }, "piece \(piece)")
        }
    }

    #if os(Linux)
    /// A file in memory is not filled with zeros before it is written, which would take longer than writing it.
    @Test func nothingIsReservedInMemory() throws {
        let path = FilePath("/dev/shm/qconv-test-\(UInt64.random(in: 0...UInt64.max))")
        guard access("/dev/shm", W_OK) == 0 else { return }
        let file = try OutputFile(creating: path)
        defer { unlink(path.string) }
        try file.preallocate(1 << 20)
        var status = stat()
        try #require(stat(path.string, &status) == 0)
        #expect(status.st_size == 1 << 20)
        #expect(status.st_blocks == 0)
    }
    #endif
}
