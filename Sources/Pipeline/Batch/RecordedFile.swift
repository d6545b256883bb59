import Checkpoints
import LosslessJSON
import SystemPackage
import Tensors

/// What a batch remembers of a file, to know it again.
struct RecordedFile: Hashable, Sendable {
    /// Where it is; of an output's file, its name in the output.
    let path: String
    let size: Int
    /// SHA-256 of the header of a file of weights.
    let headerSHA256: String?
    /// SHA-256 of the whole file; `nil` for large files, unless it was asked for.
    let sha256: String?
    /// When the file was last changed, in nanoseconds since 1970; `nil` where the whole content is known.
    let modified: Int?

    /// A small file: its whole content counts.
    init(whole path: FilePath) throws {
        let (size, sha256) = try Fingerprint.whole(path)
        self.init(path: path.string, size: size, headerSHA256: nil, sha256: sha256, modified: nil)
    }

    /// A file of a model's weights: its header counts, and when it was last changed.
    ///
    /// - Parameter wholeFile: Whether to look at its whole content too.
    init(weights path: FilePath, wholeFile: Bool, known: KnownFingerprints) throws {
        let modified = FileSystem.modificationTime(of: path)
        let fingerprint = try known.fingerprint(of: path, wholeFile: wholeFile)
        self.init(
            path: path.string, size: fingerprint.size, headerSHA256: fingerprint.headerSHA256,
            sha256: fingerprint.sha256, modified: modified)
    }

    init(path: String, size: Int, headerSHA256: String?, sha256: String?, modified: Int?) {
        self.path = path
        self.size = size
        self.headerSHA256 = headerSHA256
        self.sha256 = sha256
        self.modified = modified
    }

    /// Whether both are the same file's, unchanged. Paths do not matter: they depend on the working directory.
    func isUnchanged(_ other: RecordedFile) -> Bool {
        guard size == other.size, headerSHA256 == other.headerSHA256 else { return false }
        if let sha256, let otherHash = other.sha256 { return sha256 == otherHash }
        return modified != nil && modified == other.modified
    }

    /// The files that a conversion is made from: the input's and the adapters'.
    ///
    /// - Parameter base: The input's, as ``all(of:wholeFiles:)`` finds them.
    static func all(of plan: PipelinePlan, base: [RecordedFile]) throws -> [RecordedFile] {
        // Adapters inside a container are part of the input.
        let adapters = plan.model.adapters.flatMap(\.adapter.files)
        return try base
            + adapters.filter { !plan.model.input.reader.files.contains($0) }.map { try RecordedFile(whole: $0) }
    }

    /// The files of a model.
    ///
    /// - Parameter known: Gets the fingerprints of the weights, if somebody else needs them, too.
    static func all(
        of model: ModelDirectory, wholeFiles: Bool, known: KnownFingerprints = KnownFingerprints()
    ) throws -> [RecordedFile] {
        // The index of shards lies among the weights; what it says shows in their headers.
        try model.reader.files.filter { $0.extension != "json" }.map {
            try RecordedFile(weights: $0, wholeFile: wholeFiles, known: known)
        }
            + model.sideFilePaths.map { try RecordedFile(whole: $0) }
    }

    /// Whether a file of an output holds weights rather than something about them.
    static func isWeights(_ path: FilePath) -> Bool {
        path.extension == "safetensors" || path.extension == OutputFormat.nf4.rawValue
    }
}

// MARK: - JSON

extension RecordedFile {
    var json: JSONValue {
        var json: JSONValue = ["path": .string(path), "size": .int(size)]
        if let headerSHA256 { json["header_sha256"] = .string(headerSHA256) }
        if let sha256 { json["sha256"] = .string(sha256) }
        if let modified { json["modified"] = .int(modified) }
        return json
    }

    init?(_ json: JSONValue) {
        guard let path = json["path"]?.string, let size = json["size"]?.int else { return nil }
        self.init(
            path: path, size: size, headerSHA256: json["header_sha256"]?.string, sha256: json["sha256"]?.string,
            modified: json["modified"]?.int)
    }
}
