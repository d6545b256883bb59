import Checkpoints
import SystemPackage
import Tensors

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Finds the adapters that patterns name.
enum AdapterSearch {
    /// The adapters in the order in which people count.
    ///
    /// A pattern is a path; `*`, `?` and `[…]` in it stand for what they stand for in a shell, and then only directories
    /// count: beside checkpoints lie logs and archives. What is no adapter after all is found out when it is opened.
    ///
    /// - Parameter directory: What relative patterns are relative to.
    /// - Throws: ``SpecError`` for a pattern that matches nothing.
    static func adapters(_ patterns: [String], in directory: FilePath) throws(SpecError) -> [BatchAdapter] {
        var paths: Set<String> = []
        for pattern in patterns {
            let matches = matches(pattern, in: directory)
            guard !matches.isEmpty else {
                throw SpecError(
                    place: "batch", problem: "\"\(pattern)\" matches no \(isPath(pattern) ? "adapter" : "directory")",
                    remedy: nearest(pattern, in: directory))
            }
            paths.formUnion(matches)
        }
        return paths.sorted(by: NaturalOrder.precedes).enumerated().map {
            BatchAdapter(path: $0.element, index: $0.offset + 1)
        }
    }

    private static func isPath(_ pattern: String) -> Bool { !pattern.contains { "*?[".contains($0) } }

    /// The paths as the pattern writes them: relative if it is.
    private static func matches(_ pattern: String, in directory: FilePath) -> [String] {
        let full = directory.pushing(FilePath(pattern))
        // A path counts as it stands, whatever characters are in it.
        if FileSystem.kind(of: full) != nil { return [FilePath(pattern).lexicallyNormalized().string] }
        let escaped = directory.string.map { "*?[\\".contains($0) ? "\\\($0)" : String($0) }.joined()
        var found = glob_t()
        defer { globfree(&found) }
        let isRelative = FilePath(pattern).isRelative && !directory.isEmpty
        guard glob(isRelative ? "\(escaped)/\(pattern)" : pattern, 0, nil, &found) == 0 else { return [] }
        var paths: [String] = []
        for index in 0..<Int(found.gl_pathc) {
            guard let name = found.gl_pathv[index] else { continue }
            var path = FilePath(String(cString: name))
            guard FileSystem.kind(of: path) == .directory else { continue }
            if isRelative { _ = path.removePrefix(directory) }
            paths.append(path.lexicallyNormalized().string)
        }
        return paths
    }

    /// How far the pattern leads.
    private static func nearest(_ pattern: String, in directory: FilePath) -> String {
        var existing = FilePath(pattern)
        repeat {
            existing.removeLastComponent()
        } while !existing.isEmpty && matches(existing.string, in: directory).isEmpty
        let base = directory.isEmpty ? "the working directory" : directory.string
        return existing.isEmpty || existing == "/"
            ? "relative paths are relative to \(base)" : "there is \"\(existing)\", but nothing in it that matches"
    }
}
