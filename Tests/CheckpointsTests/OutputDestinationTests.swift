import Checkpoints
import Foundation
import SystemPackage
import Testing

@Suite struct OutputDestinationTests {
    private func relation(_ output: FilePath, _ input: FilePath) -> DestinationRelation? {
        do {
            try OutputDestination(output).check(force: true, besides: [UsedPath(input, as: .input)])
            return nil
        } catch .destinationTaken(_, let relation, _) {
            return relation
        } catch {
            Issue.record("\(error)")
            return nil
        }
    }

    @Test func inputsAreProtected() throws {
        try withTemporaryDirectory { directory throws in
            let model = directory.appending("model")
            try FileManager.default.createDirectory(atPath: model.string, withIntermediateDirectories: true)
            try write([1], to: model.appending("config.json"))
            let file = model.appending("model.safetensors")
            try write([1], to: file)
            let link = directory.appending("link")
            try FileManager.default.createSymbolicLink(atPath: link.string, withDestinationPath: model.string)

            #expect(relation(model, model) == .same)
            #expect(relation(link, model) == .same)
            #expect(relation(model, link) == .same)
            #expect(relation(directory.appending("other/../model"), model) == .same)
            #expect(relation(model.appending("out/merged"), model) == .inside)
            #expect(relation(link.appending("out"), model) == .inside)
            #expect(relation(model, file) == .contains)
            #expect(relation(file, file) == .same)
            #expect(relation(directory.appending("model2"), model) == nil)
            #expect(relation(directory.appending("model2/out"), model) == nil)
            // A hard link is the same file too.
            try FileManager.default.linkItem(atPath: file.string, toPath: directory.appending("hard").string)
            #expect(relation(directory.appending("hard"), file) == .same)
        }
    }

    @Test func claimsAreFoundWhateverLinksLeadThere() throws {
        try withTemporaryDirectory { directory throws in
            let models = directory.appending("models")
            try FileManager.default.createDirectory(atPath: models.string, withIntermediateDirectories: true)
            let link = directory.appending("link")
            try FileManager.default.createSymbolicLink(atPath: link.string, withDestinationPath: models.string)
            let pipe = directory.appending("pipe")
            try #require(mkfifo(pipe.string, 0o600) == 0)

            var claims = ClaimedPaths<String>()
            claims.claim(models.appending("a/b"), by: "first")
            claims.claim(link.appending("a/b"), by: "second")
            claims.claim(models.appending("c"), by: "third")
            claims.claim(pipe, by: "pipe")
            func conflict(_ path: FilePath) -> String? {
                claims.conflict(with: path).map { "\($0.relation) \($0.owner)" }
            }
            #expect(conflict(models.appending("a/b")) == "same first")
            #expect(conflict(link.appending("other/../a/b")) == "same first")
            #expect(conflict(link.appending("a/b/model.safetensors")) == "inside first")
            #expect(conflict(models.appending("a")) == "contains first")
            #expect(conflict(link) == "contains first")
            #expect(conflict(models.appending("c/d")) == "inside third")
            #expect(conflict(models.appending("a/b2")) == nil)
            #expect(conflict(models.appending("d")) == nil)
            // What goes there is read by somebody, and takes the place of nothing.
            #expect(conflict(pipe) == nil)
        }
    }

    @Test(arguments: ["/", ".", "..", "", "a/.."])
    func pathsThatNameNothingAreRefused(path: String) {
        #expect(throws: CheckpointError.self) { try OutputDestination(FilePath(path)).check(force: true) }
    }

    /// `--force` replaces files and models. Who names a device or a pipe means something else, and the system needs it.
    @Test func whatIsNoFileIsNotReplaced() throws {
        try withTemporaryDirectory { directory throws in
            let pipe = directory.appending("pipe")
            try #require(mkfifo(pipe.string, 0o600) == 0)
            let link = directory.appending("link")
            try FileManager.default.createSymbolicLink(atPath: link.string, withDestinationPath: pipe.string)
            for path in [pipe, link, "/dev/null"] {
                for force in [false, true] {
                    #expect {
                        try OutputDestination(path).check(force: force)
                    } throws: {
                        "\($0)".contains("device")
                    }
                    try OutputDestination(path, as: .report).check(force: force)
                }
                #expect(throws: CheckpointError.self) {
                    try StagedOutput(destination: path, kind: .file, force: true)
                }
            }
            #expect(try names(in: directory) == ["link", "pipe"])
        }
    }

    @Test func freeSpaceOfPathsToCome() throws {
        let here = try #require(DiskSpace.free(at: Fixtures.directory))
        let below = try #require(DiskSpace.free(at: Fixtures.directory.appending("not/yet/there")))
        #expect(here > 0 && below > 0)
        #expect(DiskSpace.free(at: "relative/not/there") != nil)
    }
}

@Suite struct ByteSizeTests {
    @Test(arguments: [
        ("5GB", 5_000_000_000), ("300MB", 300_000_000), ("200MiB", 209_715_200), ("1.5GB", 1_500_000_000),
        ("4096", 4096), ("0", 0), ("1B", 1), ("0.3GB", 300_000_000), ("1.5KiB", 1536), ("2 gb", 2_000_000_000),
        (" 7kb ", 7000), ("0.1KiB", 102), ("1TB", 1_000_000_000_000), ("1TiB", 1_099_511_627_776),
        ("0.000000001GB", 1), ("9223372036854775807", Int.max),
    ])
    func sizes(text: String, bytes: Int) throws {
        #expect(try ByteSize(parsing: text).bytes == bytes)
    }

    @Test(arguments: [
        "", "GB", "-1GB", "1,5GB", "1.GB", ".5GB", "1.2.3MB", "5 G B", "5XB", "1e3", "9223372036854775808",
        "10000000TB",
        "٣GB", "1.0000000000000000000001KB", "+1",
    ])
    func notSizes(text: String) {
        #expect(throws: CheckpointError.invalidByteSize(text: text)) { try ByteSize(parsing: text) }
    }
}
