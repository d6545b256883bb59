import LosslessJSON

/// Numbers as people read them, without a locale: the same text on every machine.
///
/// Rounding is of the shortest decimal text of a double, halves away from zero: 0.125 gives 0.13.
package enum NumberText {
    /// What stands where there is no number.
    package static let missing = "--"

    /// With exactly `decimals` digits after the point: `fixed(2.5, decimals: 2)` is `2.50`.
    package static func fixed(_ value: Double, decimals: Int) -> String {
        guard value.isFinite else { return nonFinite(value) }
        return Decimal(value).rounded(toDecimals: decimals).text(decimals: decimals)
    }

    /// With exactly `digits` significant digits; with an exponent below a thousandth and where the digits don't reach the
    /// point: `significant(0.012345, digits: 3)` is `0.0123`, `significant(3e-8, digits: 3)` is `3.00e-08`.
    package static func significant(_ value: Double, digits: Int) -> String {
        guard value.isFinite else { return nonFinite(value) }
        guard value != 0 else { return "0" }
        let rounded = Decimal(value).rounded(toSignificant: digits)
        if rounded.exponent < -3 || rounded.exponent >= max(digits, 6) { return rounded.scientificText(digits: digits) }
        return rounded.text(decimals: max(0, digits - 1 - rounded.exponent))
    }

    /// A fraction as a percentage of three significant digits, two below one percent: `0.0493` is `4.93 %`, `0.009` is
    /// `0.90 %`.
    package static func percent(_ fraction: Double) -> String {
        let percentage = fraction * 100
        return significant(percentage, digits: percentage.magnitude < 0.995 ? 2 : 3) + " %"
    }

    /// A fraction as a percentage cut off, not rounded, after one decimal, so that nothing short of all reads `100 %` and
    /// nothing short of a threshold reads like it: `0.98` is `98 %`, `0.89999` is `89.9 %`.
    ///
    /// - Parameter trimmed: Whether `98.0 %` loses its zero; in a column it keeps it.
    package static func percentCutOff(_ fraction: Double, trimmed: Bool = true) -> String {
        guard fraction.isFinite else { return nonFinite(fraction) + " %" }
        let cut = Decimal(fraction).shifted(by: 2).cutOff(toDecimals: 1)
        let text = cut.text(decimals: 1)
        return (trimmed && text.hasSuffix(".0") ? String(text.dropLast(2)) : text) + " %"
    }

    /// A size on disk in decimal units, as `max_shard_size` and disk makers count: `73.2 MB`.
    package static func bytes(_ count: Int) -> String {
        scaled(Double(count), step: 1000, units: ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"])
    }

    /// A size in memory in binary units, as the kernel counts: `58.3 MiB`.
    package static func memory(_ count: Int) -> String {
        scaled(Double(count), step: 1024, units: ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
    }

    /// A large count in short: `134 M`, `7.24 G`; as it is below ten thousand.
    package static func count(_ count: Int) -> String {
        count.magnitude < 10_000 ? String(count) : scaled(Double(count), step: 1000, units: ["", "k", "M", "G", "T"])
    }

    /// A time span: `0.31 s`, `12.4 s`, `3 min 05 s`, `1 h 02 min`.
    package static func duration(seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e15 else { return missing }
        if seconds < 9.995 { return fixed(seconds, decimals: 2) + " s" }
        if seconds < 59.95 { return fixed(seconds, decimals: 1) + " s" }
        let whole = Int(seconds.rounded())
        if whole < 3600 { return "\(whole / 60) min \(twoDigits(whole % 60)) s" }
        let minutes = Int((seconds / 60).rounded())
        return "\(minutes / 60) h \(twoDigits(minutes % 60)) min"
    }

    /// Three significant digits in the largest unit that leaves at least 1 before the point.
    private static func scaled(_ value: Double, step: Double, units: [String]) -> String {
        var value = value
        var unit = 0
        // 999.9 kB would round to 1000 kB: go on to 1.00 MB.
        while unit < units.count - 1, value.magnitude >= (unit == 0 ? step : step - 0.5) {
            value /= step
            unit += 1
        }
        guard unit > 0 else { return fixed(value, decimals: 0) + (units[0].isEmpty ? "" : " " + units[0]) }
        let decimals = value.magnitude < 9.995 ? 2 : value.magnitude < 99.95 ? 1 : 0
        return fixed(value, decimals: decimals) + " " + units[unit]
    }

    private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : String(value) }

    private static func nonFinite(_ value: Double) -> String {
        value.isNaN ? "nan" : value < 0 ? "-inf" : "inf"
    }
}

/// A finite number in decimal: ± d₁.d₂d₃… · 10^exponent; zero has no digits.
private struct Decimal {
    let isNegative: Bool
    let digits: [UInt8]
    let exponent: Int

    init(_ value: Double) {
        isNegative = value < 0
        guard value != 0 else {
            digits = []
            exponent = 0
            return
        }
        let (text, exponent) = shortestDigits(value.magnitude)
        digits = text.utf8.map { $0 - UInt8(ascii: "0") }
        self.exponent = exponent
    }

    private init(isNegative: Bool, digits: [UInt8], exponent: Int) {
        self.isNegative = isNegative
        self.digits = digits
        self.exponent = exponent
    }

    /// Times 10^places.
    func shifted(by places: Int) -> Decimal {
        digits.isEmpty ? self : Decimal(isNegative: isNegative, digits: digits, exponent: exponent + places)
    }

    func rounded(toDecimals decimals: Int) -> Decimal { rounded(toSignificant: exponent + 1 + decimals) }

    func cutOff(toDecimals decimals: Int) -> Decimal {
        let kept = Array(digits.prefix(max(0, exponent + 1 + decimals)))
        return Decimal(isNegative: isNegative, digits: kept, exponent: exponent)
    }

    /// Keeps the first `count` digits, halves away from zero. A carry out of the first digit raises the exponent.
    func rounded(toSignificant count: Int) -> Decimal {
        guard count < digits.count else { return self }
        guard count >= 0 else { return Decimal(isNegative: isNegative, digits: [], exponent: exponent) }
        var kept = Array(digits.prefix(count))
        guard digits[count] >= 5 else { return Decimal(isNegative: isNegative, digits: kept, exponent: exponent) }
        var index = count - 1
        while index >= 0, kept[index] == 9 {
            kept[index] = 0
            index -= 1
        }
        guard index >= 0 else { return Decimal(isNegative: isNegative, digits: [1] + kept, exponent: exponent + 1) }
        kept[index] += 1
        return Decimal(isNegative: isNegative, digits: kept, exponent: exponent)
    }

    /// The digit that stands for 10^place.
    private func digit(at place: Int) -> String {
        let index = exponent - place
        return digits.indices.contains(index) ? String(digits[index]) : "0"
    }

    /// Without an exponent. A zero has no sign.
    func text(decimals: Int) -> String {
        var text = isNegative && digits.contains { $0 != 0 } ? "-" : ""
        for place in stride(from: max(0, exponent), through: 0, by: -1) { text += digit(at: place) }
        guard decimals > 0 else { return text }
        text += "."
        for place in 1...decimals { text += digit(at: -place) }
        return text
    }

    /// With an exponent of at least two digits, as printf's %e writes it.
    func scientificText(digits count: Int) -> String {
        var text = (isNegative ? "-" : "") + digit(at: exponent)
        if count > 1 { text += "." }
        for place in 1..<max(1, count) { text += digit(at: exponent - place) }
        let magnitude = exponent.magnitude
        return text + "e\(exponent < 0 ? "-" : "+")\(magnitude < 10 ? "0" : "")\(magnitude)"
    }
}
