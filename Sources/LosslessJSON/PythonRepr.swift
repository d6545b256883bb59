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
    var text = Substring(value.description)
    var exponent = 0
    if let e = text.firstIndex(of: "e") {
        exponent = Int(text[text.index(after: e)...]) ?? 0
        text = text[..<e]
    }
    let point = text.firstIndex(of: ".") ?? text.endIndex
    exponent += text.distance(from: text.startIndex, to: point) - 1
    var digits = String(text.filter { $0 != "." })
    while digits.first == "0", digits.count > 1 {
        digits.removeFirst()
        exponent -= 1
    }
    while digits.last == "0", digits.count > 1 { digits.removeLast() }
    return (digits, exponent)
}
