#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Names of tensors and files by their UTF-8 bytes: the order and the identity that formats mean, and much faster than
/// Unicode's.
extension String {
    /// Whether the UTF-8 bytes of this string come before those of another; a prefix comes first.
    package func precedesByBytes(_ other: String) -> Bool {
        let answer = withBytes(other) { left, right in
            let order = compare(left, right, min(left.count, right.count))
            return order != 0 ? order < 0 : left.count < right.count
        }
        return answer ?? utf8.lexicographicallyPrecedes(other.utf8)
    }

    /// Whether the UTF-8 bytes of this string end with those of another.
    package func endsWithBytes(_ suffix: String) -> Bool {
        // Most do not even have the last byte.
        guard let last = suffix.utf8.last else { return true }
        return utf8.last == last && hasBytes(suffix, endingAt: utf8.count)
    }

    /// Whether the first `end` UTF-8 bytes of this string end with those of another.
    package func hasBytes(_ part: String, endingAt end: Int) -> Bool {
        let answer = withBytes(part) { bytes, part in
            guard end >= part.count, end <= bytes.count else { return false }
            return compare(UnsafeBufferPointer(rebasing: bytes[(end - part.count)..<end]), part, part.count) == 0
        }
        return answer ?? utf8.prefix(end).reversed().starts(with: part.utf8.reversed())
    }

    /// `nil` when a string is not stored as UTF-8 in one piece.
    private func withBytes<Result>(
        _ other: String, _ body: (UnsafeBufferPointer<UInt8>, UnsafeBufferPointer<UInt8>) -> Result
    ) -> Result? {
        utf8.withContiguousStorageIfAvailable { left in
            other.utf8.withContiguousStorageIfAvailable { right in body(left, right) }
        } ?? nil
    }
}

private func compare(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>, _ count: Int) -> Int32 {
    guard count > 0, let left = left.baseAddress, let right = right.baseAddress else { return 0 }
    return memcmp(left, right, count)
}
