/// A version of PEFT, as far as it decides what an adapter means: `0.21` of `0.21.2` or `0.21.0.dev0`.
public struct PEFTVersion: Hashable, Comparable, Sendable {
    public let major: Int
    public let minor: Int

    init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// `nil` for what is no version, such as the word that stands for an unknown one.
    init?(_ text: String) {
        let numbers = text.split(separator: ".").prefix(2).map { Int($0) }
        guard numbers.count == 2, let major = numbers[0], let minor = numbers[1] else { return nil }
        self.init(major: major, minor: minor)
    }

    public static func < (left: PEFTVersion, right: PEFTVersion) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }
}
