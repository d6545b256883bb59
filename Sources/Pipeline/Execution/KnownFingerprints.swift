import Reports
import Synchronization
import SystemPackage

/// The fingerprints of input files, each made once.
final class KnownFingerprints: Sendable {
    private let known = Mutex<[FilePath: InputFingerprint]>([:])

    /// What identifies the files that a plan reads.
    ///
    /// - Parameter wholeFiles: Whether to add the SHA-256 of all their bytes.
    func fingerprints(of plan: PipelinePlan, wholeFiles: Bool) throws -> [InputFingerprint] {
        let files = plan.model.input.reader.files + plan.model.adapters.flatMap(\.adapter.files)
        return try files.filter { $0.extension != "json" }.map { try fingerprint(of: $0, wholeFile: wholeFiles) }
    }

    /// What identifies a file.
    ///
    /// - Parameter wholeFile: The same in all calls.
    func fingerprint(of file: FilePath, wholeFile: Bool) throws -> InputFingerprint {
        try known.withLock { known in
            if let fingerprint = known[file] { return fingerprint }
            let fingerprint = try Fingerprint.make(file, wholeFile: wholeFile)
            known[file] = fingerprint
            return fingerprint
        }
    }
}
