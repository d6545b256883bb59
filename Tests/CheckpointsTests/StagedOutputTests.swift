import Checkpoints
import Foundation
import SystemPackage
import Tensors
import Testing

@Suite struct StagedOutputTests {
    private func makeModel(_ path: FilePath, _ content: [UInt8]) throws {
        try FileManager.default.createDirectory(atPath: path.string, withIntermediateDirectories: true)
        try write(content, to: path.appending("config.json"))
    }

    @Test func nothingAppearsBeforeCommit() throws {
        try withTemporaryDirectory { directory throws in
            let destination = directory.appending("model")
            let output = try StagedOutput(destination: destination, kind: .directory, force: false)
            try write([1], to: output.path.appending("config.json"))
            #expect(!FileManager.default.fileExists(atPath: destination.string))
            try output.commit()
            #expect(try names(in: directory) == ["model"])
            #expect(try names(in: destination) == ["config.json"])
        }
    }

    @Test func abandonLeavesNothing() throws {
        try withTemporaryDirectory { directory throws in
            let output = try StagedOutput(
                destination: directory.appending("new/deep/model"), kind: .directory, force: false)
            try write([1], to: output.path.appending("x"))
            output.abandon()
            output.abandon()
            #expect(try names(in: directory) == [])
            #expect(throws: CheckpointError.self) { try output.commit() }
        }
    }

    @Test func aForgottenOutputIsRemoved() throws {
        try withTemporaryDirectory { directory throws in
            do { _ = try StagedOutput(destination: directory.appending("m"), kind: .directory, force: false) }
            #expect(try names(in: directory) == [])
        }
    }

    @Test(arguments: [StagedOutput.Kind.file, .directory])
    func existingDestinationsNeedForce(kind: StagedOutput.Kind) throws {
        try withTemporaryDirectory { directory throws in
            let destination = directory.appending("model")
            func create(_ path: FilePath, _ content: [UInt8]) throws {
                if kind == .file { try write(content, to: path) } else { try makeModel(path, content) }
            }
            func content() throws -> [UInt8] {
                try contents(kind == .file ? destination : destination.appending("config.json"))
            }
            try create(destination, [1])
            #expect(throws: CheckpointError.destinationExists(destination)) {
                try StagedOutput(destination: destination, kind: kind, force: false)
            }
            let output = try StagedOutput(destination: destination, kind: kind, force: true)
            if kind == .file {
                try write([2], to: output.path)
            } else {
                try write([2], to: output.path.appending("config.json"))
            }
            #expect(try content() == [1])
            try output.commit()
            #expect(try content() == [2])
            #expect(try names(in: directory) == ["model"])
        }
    }

    @Test func whatAppearsMeanwhileIsNotOverwritten() throws {
        try withTemporaryDirectory { directory throws in
            for kind in [StagedOutput.Kind.file, .directory] {
                let destination = directory.appending("model")
                let output = try StagedOutput(destination: destination, kind: kind, force: false)
                if kind == .file { try write([2], to: output.path) }
                try write([1], to: destination)
                #expect(throws: CheckpointError.self) { try output.commit() }
                output.abandon()
                #expect(try contents(destination) == [1])
                #expect(try names(in: directory) == ["model"])
                try FileManager.default.removeItem(atPath: destination.string)
            }
        }
    }

    @Test func twoWritersOfOneDestinationExcludeEachOther() throws {
        try withTemporaryDirectory { directory throws in
            let destination = directory.appending("model")
            let first = try StagedOutput(destination: destination, kind: .directory, force: false)
            let error = #expect(throws: CheckpointError.self) {
                try StagedOutput(destination: destination, kind: .directory, force: false)
            }
            guard case .destinationBusy = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(FileManager.default.fileExists(atPath: first.path.string))
            first.abandon()
            try StagedOutput(destination: destination, kind: .directory, force: false).commit()
            #expect(try names(in: directory) == ["model"])
        }
    }

    @Test func whatAKilledRunLeftIsRemoved() throws {
        try withTemporaryDirectory { directory throws in
            let staging = directory.appending(".model.qconv-partial")
            try makeModel(staging.appending("model"), [9])
            try write([], to: staging.appending("lock"))
            let output = try StagedOutput(
                destination: directory.appending("model"), kind: .directory, force: false)
            #expect(try names(in: output.path) == [])
            try output.commit()
            #expect(try names(in: directory) == ["model"])
        }
    }

    @Test func anOldOutputThatAKilledRunHadMovedAsideComesBack() throws {
        try withTemporaryDirectory { directory throws in
            let staging = directory.appending(".model.qconv-partial")
            try makeModel(staging.appending("replaced"), [9])
            let output = try StagedOutput(destination: directory.appending("model"), kind: .directory, force: true)
            #expect(try contents(directory.appending("model/config.json")) == [9])
            output.abandon()
            #expect(try names(in: directory) == ["model"])
        }
    }

    @Test func forceReplacesModelsOnly() throws {
        try withTemporaryDirectory { directory throws in
            let home = directory.appending("home")
            try FileManager.default.createDirectory(atPath: home.string, withIntermediateDirectories: true)
            try write([1], to: home.appending("thesis.tex"))
            #expect(throws: CheckpointError.self) {
                try StagedOutput(destination: home, kind: .directory, force: true)
            }
            #expect(throws: CheckpointError.self) { try StagedOutput(destination: home, kind: .file, force: true) }
            #expect(throws: CheckpointError.self) {
                try StagedOutput(destination: home.appending("thesis.tex"), kind: .directory, force: true)
            }
            #expect(try names(in: directory) == ["home"])
            #expect(try names(in: home) == ["thesis.tex"])
        }
    }

    @Test func linksAreFollowed() throws {
        try withTemporaryDirectory { directory throws in
            try makeModel(directory.appending("disk/model"), [1])
            let link = directory.appending("link")
            try FileManager.default.createSymbolicLink(
                atPath: link.string, withDestinationPath: directory.appending("disk/model").string)
            let output = try StagedOutput(destination: link, kind: .directory, force: true)
            try write([2], to: output.path.appending("config.json"))
            try output.commit()
            #expect(try contents(directory.appending("disk/model/config.json")) == [2])
            #expect(try names(in: directory.appending("disk")) == ["model"])
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link.string).hasSuffix("disk/model"))
        }
    }

    @Test func smallFilesAreWrittenWhole() throws {
        try withTemporaryDirectory { directory throws in
            let path = directory.appending("out/report.json")
            try StagedFile.write("one".utf8, to: path)
            try StagedFile.write("two".utf8, to: path)
            #expect(try contents(path) == Array("two".utf8))
            #expect(try names(in: directory.appending("out")) == ["report.json"])
        }
    }

    @Test func smallFilesGoIntoPipesThatStandThere() throws {
        try withTemporaryDirectory { directory throws in
            let path = directory.appending("pipe")
            try #require(mkfifo(path.string, 0o600) == 0)
            // Open in both directions, so that nobody waits.
            let pipe = try FileDescriptor.open(path, .readWrite)
            defer { try? pipe.close() }
            try StagedFile.write("one".utf8, to: path)
            try StagedFile.write("two".utf8, to: path)
            var received = [UInt8](repeating: 0, count: 100)
            let count = try received.withUnsafeMutableBytes { try pipe.read(into: $0) }
            #expect(received.prefix(count) == Array("onetwo".utf8)[...])
            #expect(try names(in: directory) == ["pipe"])
            try StagedFile.write("nothing".utf8, to: "/dev/null")
            let attributes = try FileManager.default.attributesOfItem(atPath: "/dev/null")
            #expect(attributes[.type] as? FileAttributeType == .typeCharacterSpecial)
        }
    }
}
