import Foundation
import LosslessJSON

/// Files of the package, wherever it was checked out.
package enum PackageFiles {
    /// The package's folder.
    package static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// A JSON file, by its path in the package: `formats/report.schema.json`.
    package static func json(_ path: String) throws -> JSONValue {
        try JSONValue(parsing: Data(contentsOf: root.appendingPathComponent(path)))
    }
}
