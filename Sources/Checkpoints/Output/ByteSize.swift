/// A size as people write it: `5GB`, `300MB`, `1.5GB`, `200MiB`, `4096`.
///
/// KB, MB, GB and TB are powers of 1000, as in transformers' `max_shard_size`; KiB, MiB, GiB and TiB powers of 1024.
/// Case does not matter.
public struct ByteSize: Hashable, Sendable {
    /// The size in bytes.
    public let bytes: Int

    public init(bytes: Int) {
        self.bytes = bytes
    }

    /// Parses a size; a fraction of a byte is dropped.
    ///
    /// - Throws: ``CheckpointError/invalidByteSize(text:)``.
    public init(parsing text: String) throws(CheckpointError) {
        guard let bytes = ByteSize.parse(text) else { throw .invalidByteSize(text: text) }
        self.bytes = bytes
    }

    private static let units: [String: Int] = [
        "": 1, "b": 1, "kb": 1000, "mb": 1_000_000, "gb": 1_000_000_000, "tb": 1_000_000_000_000,
        "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
    ]

    /// Exact decimal arithmetic: 0.3GB is 300000000 bytes, whatever a double makes of 0.3.
    private static func parse(_ text: String) -> Int? {
        let trimmed = text.drop { $0 == " " }
        let number = trimmed.prefix { $0.isASCII && ($0.isWholeNumber || $0 == ".") }
        var unitName = trimmed[number.endIndex...].drop { $0 == " " }
        while unitName.last == " " { unitName.removeLast() }
        guard let unit = units[unitName.lowercased()] else { return nil }
        let parts = number.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else { return nil }
        let decimals = parts.count == 2 ? parts[1].count : 0
        // 10^18 is the largest power of ten in an Int.
        guard decimals <= 18, let digits = Int(parts.joined()) else { return nil }
        let divisor = (0..<decimals).reduce(1) { power, _ in power * 10 }
        let product = digits.multipliedFullWidth(by: unit)
        guard product.high < divisor else { return nil }
        let (bytes, _) = UInt(divisor).dividingFullWidth((UInt(product.high), UInt(product.low)))
        return Int(exactly: bytes)
    }
}
