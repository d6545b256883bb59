/// The order in which people count: `checkpoint-50` before `checkpoint-200`.
package enum NaturalOrder {
    /// Compares names or paths; runs of digits count as numbers, everything else by its bytes.
    package static func precedes(_ left: String, _ right: String) -> Bool {
        let left = Array(left.utf8)
        let right = Array(right.utf8)
        var i = 0
        var j = 0
        while i < left.count, j < right.count {
            guard isDigit(left[i]), isDigit(right[j]) else {
                if left[i] != right[j] { return left[i] < right[j] }
                i += 1
                j += 1
                continue
            }
            let (a, b) = (number(left, from: &i), number(right, from: &j))
            // Without leading zeros, the longer number is the larger.
            if a.count != b.count { return a.count < b.count }
            if a != b { return a.lexicographicallyPrecedes(b) }
        }
        // Equal so far: what goes on comes later, and of 7 and 07 the one with fewer bytes first.
        return (left.count - i, left.count) < (right.count - j, right.count)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0") <= byte && byte <= UInt8(ascii: "9") }

    /// The digits from a position on, which moves behind them, without leading zeros.
    private static func number(_ bytes: [UInt8], from position: inout Int) -> ArraySlice<UInt8> {
        let start = position
        while position < bytes.count, isDigit(bytes[position]) { position += 1 }
        return bytes[start..<position].drop { $0 == UInt8(ascii: "0") }
    }
}
