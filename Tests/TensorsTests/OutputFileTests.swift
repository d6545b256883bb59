import SampleModels
import SystemPackage
import Tensors
import TestSupport
import Testing
import Workers

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
}
