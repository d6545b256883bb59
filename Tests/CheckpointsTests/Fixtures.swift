import Foundation
import SystemPackage

enum Fixtures {
    static let directory = FilePath(#filePath).removingLastComponent().removingLastComponent()
        .appending("Fixtures").appending("checkpoints")

    static func path(_ name: String) -> FilePath { directory.appending(FilePath(name).components) }
}

func contents(_ path: FilePath) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(filePath: path.string)))
}

func write(_ bytes: some Sequence<UInt8>, to path: FilePath) throws {
    try Data(bytes).write(to: URL(filePath: path.string))
}

/// The names in a directory, hidden ones too.
func names(in directory: FilePath) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: directory.string).sorted()
}

/// Calls `body` with a directory of its own, and removes it.
func withTemporaryDirectory<Result>(_ body: (FilePath) throws -> Result) throws -> Result {
    let url = FileManager.default.temporaryDirectory.appending(path: "qconv-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: url) }
    return try body(FilePath(url.path(percentEncoded: false)))
}

/// A safetensors file's bytes from its JSON and data.
func safetensors(_ json: String, data: [UInt8] = []) -> [UInt8] {
    let header = Array(json.utf8)
    return (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header + data
}
