import LosslessJSON
import SystemPackage

/// Why a spec is not acceptable: where, what, and what would be right.
public struct SpecError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The spec's file.
    public var file: FilePath?
    /// Where in the spec: `step 2 (merge-in-4bit)`, `output`; `nil` for the document itself.
    public let place: String?
    public let problem: String
    /// What would be right.
    public let remedy: String?

    public init(file: FilePath? = nil, place: String?, problem: String, remedy: String? = nil) {
        self.file = file
        self.place = place
        self.problem = problem
        self.remedy = remedy
    }

    /// The same error, with the file that it is in.
    func located(in file: FilePath) -> SpecError {
        var located = self
        located.file = file
        return located
    }

    public var description: String {
        var text = file.map { "\($0): " } ?? ""
        if let place { text += "\(place): " }
        text += problem
        if let remedy { text += "; \(remedy)" }
        return text
    }
}

/// The candidate closest to a mistyped word, if any is close enough to be meant.
func closestMatch(to word: String, among candidates: [String]) -> String? {
    let limit = max(1, word.count / 3)
    return
        candidates
        .map { (candidate: $0, distance: editDistance(word, $0)) }
        .filter { $0.distance <= limit }
        .min { $0.distance < $1.distance }?.candidate
}

/// Levenshtein's distance: the least number of single-character insertions, deletions and replacements.
private func editDistance(_ a: String, _ b: String) -> Int {
    let a = Array(a)
    let b = Array(b)
    var row = Array(0...b.count)
    for i in a.indices {
        var diagonal = row[0]
        row[0] = i + 1
        for j in b.indices {
            let replaced = diagonal + (a[i] == b[j] ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
        }
    }
    return row[b.count]
}
