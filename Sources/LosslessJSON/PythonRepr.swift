/// A finite double as Python's `repr` (and so `json.dumps`) writes it.
///
/// Both Swift and Python print the shortest digits that read back as the same double; they differ in layout only:
/// Python turns to an exponent below 1e-4 and from 1e16 on, and pads the exponent to two digits.
public func pythonRepr(_ value: Double) -> String {
    if value == 0 { return value.sign == .minus ? "-0.0" : "0.0" }
    let (digits, exponent) = shortestDigits(value.magnitude)
    let sign = value < 0 ? "-" : ""
    if exponent < -4 || exponent >= 16 {
        let mantissa = digits.count == 1 ? digits : digits.prefix(1) + "." + digits.dropFirst()
        let magnitude = String(abs(exponent))
        return "\(sign)\(mantissa)e\(exponent < 0 ? "-" : "+")\(magnitude.count < 2 ? "0" : "")\(magnitude)"
    }
    if exponent < 0 {
        return sign + "0." + String(repeating: "0", count: -exponent - 1) + digits
    }
    let integerDigits = exponent + 1
    if digits.count <= integerDigits {
        return sign + digits + String(repeating: "0", count: integerDigits - digits.count) + ".0"
    }
    return sign + digits.prefix(integerDigits) + "." + digits.dropFirst(integerDigits)
}

/// The shortest decimal digits of a positive finite double and its decimal exponent: `0.0125` is `("125", -2)`.
package func shortestDigits(_ value: Double) -> (digits: String, exponent: Int) {
    let text = Array(value.description.utf8)
    let end = text.firstIndex(of: UInt8(ascii: "e")) ?? text.count
    let point = text[..<end].firstIndex(of: UInt8(ascii: ".")) ?? end
    var digits = (text[..<point] + text[point..<end].dropFirst())[...]
    var exponent = point - 1
    if end < text.count { exponent += Int(String(decoding: text[(end + 1)...], as: UTF8.self)) ?? 0 }
    while digits.first == UInt8(ascii: "0"), digits.count > 1 {
        digits.removeFirst()
        exponent -= 1
    }
    while digits.last == UInt8(ascii: "0"), digits.count > 1 { digits.removeLast() }
    return (String(decoding: digits, as: UTF8.self), exponent)
}
