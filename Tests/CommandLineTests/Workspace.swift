import Foundation
import LosslessJSON
import Testing

/// A directory of its own for one test, removed when the test ends.
final class Workspace {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("qconv-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: url)
    }

    subscript(_ name: String) -> URL { url.appendingPathComponent(name) }

    func path(_ name: String) -> String { self[name].path }

    /// The names in a directory, hidden ones too.
    func names(in directory: String = ".") throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path(directory)).sorted()
    }

    func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }

    func write(_ text: String, to name: String) throws {
        try makeParent(of: name)
        try Data(text.utf8).write(to: self[name])
    }

    func makeParent(of name: String) throws {
        try FileManager.default.createDirectory(
            at: self[name].deletingLastPathComponent(), withIntermediateDirectories: true)
    }

    /// Writes a spec and answers its path.
    func spec(
        input: String, steps: String, output: String = #"{"path": "out"}"#, report: String = "{}"
    ) throws -> String {
        try write(
            #"{"input": "\#(input)", "steps": [\#(steps)], "output": \#(output), "report": \#(report)}"#,
            to: "spec.json")
        return path("spec.json")
    }

    /// Writes a safetensors file from its header's JSON and data.
    func safetensors(_ header: String, data: Data, to name: String) throws {
        try makeParent(of: name)
        var bytes = Data()
        withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: header.utf8)
        bytes.append(data)
        try bytes.write(to: self[name])
    }

    /// Writes a safetensors file of one bf16 tensor of zeros that takes no space.
    func sparseModel(weights: Int, to name: String) throws {
        try safetensors(
            #"{"model.up_proj.weight":{"dtype":"BF16","shape":[\#(weights >> 12),4096],"data_offsets":[0,\#(weights * 2)]}}"#,
            data: Data(), to: name)
        let handle = try FileHandle(forWritingTo: self[name])
        try handle.truncate(atOffset: try handle.seekToEnd() + UInt64(weights * 2))
        try handle.close()
    }

    /// Every file below a directory, by its path in it.
    func contents(of directory: String) throws -> [String: Data] {
        try Workspace.contents(of: self[directory])
    }

    static func contents(of directory: URL) throws -> [String: Data] {
        var files: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: directory.path) {
            let url = directory.appendingPathComponent(name)
            var isDirectory: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory)
            if !isDirectory.boolValue { files[name] = try Data(contentsOf: url) }
        }
        return files
    }
}

/// The model in examples/.
enum TinyLlama {
    static let directory = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("examples/tiny-llama")
    static let base4Bit = directory.appendingPathComponent("base-nf4").path
    static let base16Bit = directory.appendingPathComponent("base-bf16").path

    static func adapter(_ step: Int) -> String {
        directory.appendingPathComponent("adapters/checkpoint-\(step)").path
    }

    static func attach(_ step: Int) -> String {
        #"{"op": "attach-adapter", "path": "\#(adapter(step))"}"#
    }
}
