/// What makes the randomness of one tensor (how it is rounded, what of it is dropped): a function of the seed and the
/// tensor's name alone, so that the same bytes come out for any number of threads, any chunking and on any machine.
public struct StochasticKey: Hashable, Sendable {
    public let value: UInt64

    /// FNV-1a (64 bit) over the name's UTF-8 bytes, started from the seed mixed by SplitMix64, and mixed once more so that
    /// similar names give unrelated keys.
    public init(seed: UInt64, tensorName: String) {
        var hash = StochasticKey.mix(seed ^ 0xCBF2_9CE4_8422_2325)
        for byte in tensorName.utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
        }
        value = StochasticKey.mix(hash)
    }

    /// A number in 0 ..< 1 for an element: the state of SplitMix64 after as many steps as its index says.
    public func fraction(at index: Int) -> Double {
        let state = value &+ UInt64(truncatingIfNeeded: index) &* 0x9E37_79B9_7F4A_7C15
        return Double(StochasticKey.mix(state) >> 11) * 0x1p-53
    }

    /// The output function of SplitMix64 (Steele, Lea, Flood 2014).
    private static func mix(_ input: UInt64) -> UInt64 {
        var z = input &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
