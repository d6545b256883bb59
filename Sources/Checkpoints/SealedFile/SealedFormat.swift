/// A file format of our own: a sealed header (``SealedHeader``), data, and a deflated index that ends the file.
package struct SealedFormat: Sendable {
    /// Like PNG's: a byte that is no text, the name, and line ends that a transfer as text would change.
    let magic: [UInt8]
    let version: UInt32
    let knownRequiredFeatures: UInt32
    /// Bytes of the index when inflated, which is held in memory.
    let maximumIndexSize: Int
    /// Whether the header says how long the file is. If not, the end of the index does.
    let statesFileLength: Bool

    /// What a file of the format is, with its article.
    let article: String
    let name: String
    /// How to get such a file; `nil` when that is not worth a word.
    let wayOut: String?

    /// Whether a file starts as those of the format do.
    func recognizes(_ firstBytes: some Collection<UInt8>) -> Bool { firstBytes.starts(with: magic) }
}
