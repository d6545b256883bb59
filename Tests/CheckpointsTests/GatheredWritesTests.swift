import SystemPackage
import Testing

@testable import Checkpoints
@testable import Tensors

@Suite struct GatheredWritesTests {
    /// Every piece ends up where it belongs, whatever lies between; what stands beyond the largest gap stays.
    @Test(arguments: [0, 3, 100])
    func piecesAreWrittenWhereTheyBelong(largestGap: Int) throws {
        try withTemporaryDirectory { directory throws in
            let path = directory.appending("gathered")
            let file = try OutputFile(creating: path)
            try file.write([UInt8](repeating: 9, count: 40), at: 0)
            try file.write(
                [(20, [5, 6]), (2, [1, 2]), (4, [3]), (8, []), (8, [4]), (39, [7])], fillingGapsUpTo: largestGap)
            var expected = [UInt8](repeating: 9, count: 40)
            for (offset, bytes) in [(2, [1, 2, 3]), (8, [4]), (20, [5, 6]), (39, [7])] as [(Int, [UInt8])] {
                expected.replaceSubrange(offset..<offset + bytes.count, with: bytes)
            }
            if largestGap >= 3 { expected.replaceSubrange(5..<8, with: [0, 0, 0]) }
            if largestGap >= 100 {
                expected.replaceSubrange(9..<20, with: repeatElement(0, count: 11))
                expected.replaceSubrange(22..<39, with: repeatElement(0, count: 17))
            }
            #expect(try contents(path) == expected)
        }
    }

    @Test func nothingIsWrittenOfNothing() throws {
        try withTemporaryDirectory { directory throws in
            let path = directory.appending("nothing")
            try OutputFile(creating: path).write([], fillingGapsUpTo: 10)
            #expect(try contents(path) == [])
        }
    }
}
