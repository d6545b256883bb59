import SystemPackage
import Tensors

/// The weights of one side of a patch, file by file, as their headers describe them.
package struct PatchTree: Hashable, Sendable {
    package struct File: Hashable, Sendable {
        /// The path inside the checkpoint's directory.
        package let name: String
        /// The header's JSON, with its padding.
        package let header: [UInt8]
        /// The tensors in the order of their data.
        package let entries: [SafetensorsEntry]

        /// The size of the file in bytes.
        package var size: Int { entries.map(\.range.upperBound).max() ?? 8 + header.count }

        package init(name: String, header: [UInt8], entries: [SafetensorsEntry]) {
            self.name = name
            self.header = header
            self.entries = entries
        }

        /// The file's bytes before its data: the header and its length.
        var head: [UInt8] {
            var bytes: [UInt8] = []
            bytes.appendLittleEndian(UInt64(header.count))
            return bytes + header
        }
    }

    package var files: [File]

    package init(files: [File] = []) {
        self.files = files
    }

    /// The weights of a checkpoint on disk.
    ///
    /// - Parameter paths: Its safetensors files, all below `directory`.
    init(_ paths: [FilePath], in directory: FilePath) throws {
        files = try paths.map { path in
            let file = try SafetensorsFile(path: path)
            let name = path.components.dropFirst(directory.components.count).map(\.string).joined(separator: "/")
            return File(name: name, header: try file.header(), entries: file.entries)
        }
    }

    /// Every stored tensor, file by file in the order of the data.
    package var entries: [SafetensorsEntry] { files.flatMap(\.entries) }
}
