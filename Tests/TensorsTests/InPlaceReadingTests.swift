import SampleModels
import Synchronization
import SystemPackage
import TestSupport
import Testing
import Workers

@testable import Tensors

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

private func resize(_ path: UnsafePointer<CChar>, _ size: off_t) -> CInt { truncate(path, size) }

@Suite struct InPlaceReadingTests {
    private static let page = 4096
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// What files hold: bytes that are never 0 and differ from all others nearby.
    private static let pattern = [UInt8](
        unsafeUninitializedCapacity: 3 * MappedFile.stretchBytes + 1234
    ) { buffer, count in
        for index in 0..<251 { buffer[index] = UInt8(index + 1) }
        count = buffer.count
        for start in stride(from: 251, to: count, by: 251) {
            memcpy(buffer.baseAddress! + start, buffer.baseAddress!, min(251, count - start))
        }
    }

    private static func isPattern(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Bool {
        pattern.withUnsafeBytes { pattern in
            bytes.isEmpty || memcmp(bytes.baseAddress!, pattern.baseAddress! + start, bytes.count) == 0
        }
    }

    private func file(_ count: Int, name: String = "data") throws -> FilePath {
        let path = directory.path.appending(name)
        try InPlaceReadingTests.append(0..<count, to: path)
        return path
    }

    private static func append(_ range: Range<Int>, to path: FilePath) throws {
        let descriptor = try FileDescriptor.open(
            path, .writeOnly, options: [.create], permissions: .ownerReadWrite)
        try descriptor.closeAfter {
            try pattern.withUnsafeBytes {
                _ = try descriptor.writeAll(toAbsoluteOffset: Int64(range.lowerBound), $0[range])
            }
        }
    }

    private static func truncate(_ path: FilePath, to size: Int) {
        #expect(path.withPlatformString { resize($0, off_t(size)) } == 0)
    }

    /// Reads a range in place or into a buffer, as its size decides: whether the bytes are right, and whether they were
    /// read in place.
    private func read(
        _ range: Range<Int>, of file: InputFile, before: () -> Void = {}
    ) throws -> (isRight: Bool, inPlace: Bool) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count, alignment: 64)
        defer { buffer.deallocate() }
        return try file.withBytes(at: range.lowerBound, using: buffer) { bytes in
            before()
            let isRight = InPlaceReadingTests.isPattern(bytes, from: range.lowerBound)
            return (isRight, bytes.baseAddress != UnsafeRawPointer(buffer.baseAddress))
        }
    }

    @Test func rangesOfAllKindsHaveTheFilesBytes() throws {
        let least = InputFile.leastBytesInPlace
        let size = 3 * MappedFile.stretchBytes + 1234
        let file = try InputFile(path: file(size))
        let ranges = [
            0..<0, 5..<5, size..<size, 0..<1, 7..<least, 0..<least, 3..<least + 3, 4095..<4096 + least,
            4096..<4096 + least, size - least..<size, size - least - 1..<size - 1, 0..<size,
            MappedFile.stretchBytes - 10..<2 * MappedFile.stretchBytes + 10,
        ]
        for range in ranges {
            let found = try read(range, of: file)
            #expect(found == (true, range.count >= least), "\(range)")
            #expect(try file.withBytes(range) { InPlaceReadingTests.isPattern($0, from: range.lowerBound) })
        }
    }

    @Test func rangesBeyondTheEndAreRefused() throws {
        let path = try file(1 << 20)
        let file = try InputFile(path: path)
        #expect(throws: FileError(.endedEarly, path, nil)) { try read(1 << 19..<(1 << 20) + 1, of: file) }
        // What has been appended since the file was opened can be read, as ever.
        try InPlaceReadingTests.append(1 << 20..<2 << 20, to: path)
        #expect(try read(1 << 19..<(1 << 20) + 1, of: file) == (true, false))
    }

    /// To a page's end, to nothing, into the middle of a page before the last, and into the last page.
    @Test(arguments: [64 * 4096, 0, 64 * 4096 + 100, 255 * 4096 + 1, 255 * 4096 + 4095])
    func truncationDuringAnAccessIsAnError(size: Int) throws {
        let path = try file(256 * 4096)
        let file = try InputFile(path: path)
        #expect(throws: FileError(.endedEarly, path, nil)) {
            try read(10..<256 * 4096, of: file) { InPlaceReadingTests.truncate(path, to: size) }
        }
        // Files that are smaller by now read up to where they end, whether or not their mapping was damaged.
        #expect(throws: FileError(.endedEarly, path, nil)) { try read(10..<256 * 4096, of: file) }
        #expect(try read(0..<size, of: file).isRight)
    }

    @Test func theErrorOfTheFileComesFirst() throws {
        struct Misled: Error {}
        let path = try file(1 << 20)
        let file = try InputFile(path: path)
        #expect(throws: FileError(.endedEarly, path, nil)) {
            try file.withBytes(0..<1 << 20) { bytes in
                InPlaceReadingTests.truncate(path, to: 0)
                if bytes[1 << 19] == 0 { throw Misled() }
            }
        }
        // Errors of whoever reads are passed on.
        try InPlaceReadingTests.append(0..<1 << 20, to: path)
        let again = try InputFile(path: path)
        #expect(throws: Misled.self) { try again.withBytes(0..<1 << 20) { _ in throw Misled() } }
    }

    @Test func nestedAccessesAreToldApart() throws {
        let (kept, lost) = (try file(1 << 20, name: "kept"), try file(1 << 20, name: "lost"))
        let (outer, inner) = (try InputFile(path: kept), try InputFile(path: lost))
        try outer.withBytes(0..<1 << 20) { bytes in
            #expect(throws: FileError(.endedEarly, lost, nil)) {
                try inner.withBytes(0..<1 << 20) { other in
                    InPlaceReadingTests.truncate(lost, to: 0)
                    // Those of the outer file are there as before.
                    #expect(bytes[1 << 19] != 0 && other[1 << 19] == 0)
                }
            }
            #expect(InPlaceReadingTests.isPattern(bytes, from: 0))
        }
    }

    /// Whatever another program does to the file meanwhile: an access ends with the right bytes, or with an error.
    @Test func manyThreadsReadAFileThatShrinksAndGrows() throws {
        let size = 64 * InPlaceReadingTests.page
        let path = try file(size)
        let isOver = Atomic(false)
        let intact = Atomic(0)
        let failed = Atomic(0)
        let wrong = Atomic(0)
        runOnThreads(8) { thread in
            guard thread > 0 else {
                // Whole pages, written at once: otherwise zeros may stand in a page that is grown again.
                let start = ContinuousClock.now
                while ContinuousClock.now - start < .seconds(20),
                    intact.load(ordering: .relaxed) < 200 || failed.load(ordering: .relaxed) < 200
                {
                    let rest = Int.random(in: 0..<16) * InPlaceReadingTests.page
                    InPlaceReadingTests.truncate(path, to: rest)
                    sched_yield()
                    #expect(throws: Never.self) { try InPlaceReadingTests.append(rest..<size, to: path) }
                    usleep(1000)
                }
                return isOver.store(true, ordering: .relaxed)
            }
            var generator = SeededGenerator(seed: UInt64(thread))
            while !isOver.load(ordering: .relaxed) {
                do {
                    // A file that is short already when it is opened is nothing to us.
                    let file = try InputFile(path: path)
                    guard file.size == size else { continue }
                    let range = generator.below(size / 4)..<size
                    let isRight = try file.withBytes(range) {
                        InPlaceReadingTests.isPattern($0, from: range.lowerBound)
                    }
                    if isRight {
                        intact.add(1, ordering: .relaxed)
                    } else {
                        wrong.add(1, ordering: .relaxed)
                    }
                } catch {
                    guard (error as? FileError)?.operation == .endedEarly else {
                        wrong.add(1, ordering: .relaxed)
                        continue
                    }
                    failed.add(1, ordering: .relaxed)
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(intact.load(ordering: .relaxed) > 0)
        #expect(failed.load(ordering: .relaxed) > 0)
    }

    @Test func memoryOfStretchesThatWereReadIsLetGo() throws {
        // Three times what may stay.
        let stretches = 3 * ResidentStretches.limit
        let path = directory.path.appending("large")
        try InPlaceReadingTests.append(0..<1, to: path)
        InPlaceReadingTests.truncate(path, to: stretches * MappedFile.stretchBytes)
        let file = try InputFile(path: path)
        for start in stride(from: 0, to: file.size, by: 1 << 18) {
            let pages = try file.withBytes(start..<start + 1 << 18) { bytes in
                stride(from: 0, to: bytes.count, by: InPlaceReadingTests.page).count { bytes[$0] != 0 }
            }
            #expect(pages == (start == 0 ? 1 : 0))
        }
        let resident = try InPlaceReadingTests.residentBytes(ofFile: path)
        #expect(resident == nil || resident! <= ResidentStretches.limit * MappedFile.stretchBytes)
    }

    /// What of a file is in this process's memory; `nil` where the system does not tell.
    private static func residentBytes(ofFile path: FilePath) throws -> Int? {
        guard let descriptor = try? FileDescriptor.open("/proc/self/smaps", .readOnly) else { return nil }
        var text: [UInt8] = []
        try descriptor.closeAfter {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 1)
            defer { buffer.deallocate() }
            while case let count = try descriptor.read(into: buffer), count > 0 { text += buffer[..<count] }
        }
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
        let starts = lines.indices.filter { lines[$0].hasSuffix(path.string) }
        return starts.reduce(0) { sum, start in
            let line = lines[start...].first { $0.hasPrefix("Rss:") } ?? ""
            return sum + (Int(line.filter(\.isNumber)) ?? 0) << 10
        }
    }

    // MARK: - Other bus errors

    @Test func aBusErrorOutsideAnAccessIsFatalAsEver() async throws {
        let path = try file(1 << 20).string
        await #expect(processExitsWith: .signal(SIGBUS)) { [path = path as String] in
            let file = try InputFile(path: FilePath(path))
            var left: UnsafeRawPointer?
            try file.withBytes(0..<1 << 20) { left = $0.baseAddress }
            InPlaceReadingTests.truncate(FilePath(path), to: 0)
            print(left?.load(as: UInt8.self) ?? 0)
        }
    }

    @Test func aSignalThatIsSentIsFatalAsEver() async throws {
        let path = try file(1 << 20).string
        await #expect(processExitsWith: .signal(SIGBUS)) { [path = path as String] in
            try InputFile(path: FilePath(path)).withBytes(0..<1 << 20) { _ in _ = raise(SIGBUS) }
        }
    }

    @Test func handlersThatWereThereBeforeGetWhatIsNotOurs() async throws {
        let (ours, other) = (try file(1 << 20, name: "ours").string, try file(1 << 20, name: "other").string)
        await #expect(processExitsWith: .exitCode(42)) { [ours = ours as String, other = other as String] in
            signal(SIGBUS) { _ in _exit(42) }
            try InputFile(path: FilePath(other)).withBytes(0..<1 << 20) { left in
                #expect(throws: FileError.self) {
                    try InputFile(path: FilePath(ours)).withBytes(0..<1 << 20) { bytes in
                        InPlaceReadingTests.truncate(FilePath(ours), to: 4096)
                        print(bytes[8192])
                    }
                }
                // That was ours, and so would this be on the thread that has the access.
                InPlaceReadingTests.truncate(FilePath(other), to: 0)
                let address = UInt(bitPattern: left.baseAddress)
                runOnThreads(2) { thread in
                    if thread == 1 { print(UnsafePointer<UInt8>(bitPattern: address)?.pointee ?? 0) }
                }
            }
        }
    }
}
