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
        return try known.withLock { known in
            try files.filter { $0.extension != "json" }.map { file in
                if let fingerprint = known[file] { return fingerprint }
                let fingerprint = try Fingerprint.make(file, wholeFile: wholeFiles)
                known[file] = fingerprint
                return fingerprint
            }
        }
    }
}
