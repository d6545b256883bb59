import SystemPackage
import Tensors

/// A file of a model directory that holds no weights: configuration, tokenizer, chat template, …
public struct SideFile: Hashable, Sendable {
    public enum Content: Hashable, Sendable {
        /// The bytes of another file.
        case copy(of: FilePath)
        case bytes([UInt8])
    }

    /// The path inside the model directory: `config.json`, `additional_chat_templates/rag.jinja`.
    public let name: FilePath
    public let content: Content

    public init(name: FilePath, content: Content) {
        self.name = name
        self.content = content
    }

    init(name: String, content: Content) {
        self.init(name: FilePath(name), content: content)
    }

    /// All bytes of the file.
    func bytes() throws(FileError) -> [UInt8] {
        switch content {
        case .bytes(let bytes): return bytes
        case .copy(let source):
            let input = try InputFile(path: source)
            return try input.bytes(0..<input.size)
        }
    }

    /// A side file that has been written and is to be synced.
    struct Written: Sendable {
        let file: OutputFile
        /// The directory that holds it, if that is one inside the model's.
        let innerDirectory: FilePath?
    }

    /// Writes the file into a directory. It is not on the disk before ``sync(_:)``.
    func write(to directory: FilePath) throws(FileError) -> Written {
        let parent = try FileSystem.createParents(of: name, in: directory)
        let file = try OutputFile(creating: directory.appending(name.components))
        switch content {
        case .bytes(let bytes): try file.write(bytes, at: 0)
        case .copy(let source):
            let input = try InputFile(path: source)
            let step = 1 << 20
            for start in stride(from: 0, to: input.size, by: step) {
                try file.write(try input.bytes(start..<min(start + step, input.size)), at: start)
            }
        }
        return Written(file: file, innerDirectory: parent == directory ? nil : parent)
    }

    /// Returns once the files are on the disk, and their names too where they lie deeper than in the model's directory.
    static func sync(_ files: [Written]) throws(FileError) {
        for file in files { try file.file.sync() }
        for directory in Set(files.compactMap(\.innerDirectory)) { try FileSystem.syncDirectory(directory) }
    }
}
