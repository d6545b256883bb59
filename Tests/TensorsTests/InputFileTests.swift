import Foundation
import SampleModels
import SystemPackage
import Tensors
import TestSupport
import Testing

@Suite struct InputFileTests {
    /// A pipe would wait for somebody to write into it.
    @Test(.timeLimit(.minutes(1))) func aPipeIsRefused() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path.appending("pipe")
        try #require(mkfifo(path.string, 0o600) == 0)
        let error = #expect(throws: FileError(.irregular, path, nil)) { try InputFile(path: path) }
        #expect("\(try #require(error))".contains("\(path): is a pipe"))
    }

    @Test func aDirectoryIsRefused() throws {
        let directory = try TemporaryDirectory()
        #expect(throws: FileError(.open, directory.path, .isDirectory)) { try InputFile(path: directory.path) }
    }
}
