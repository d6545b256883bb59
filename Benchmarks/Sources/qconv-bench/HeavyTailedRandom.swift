/// Random numbers shaped like trained weights: about normal with standard deviation 1, and a few outliers.
struct HeavyTailedRandom {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// The sum of four uniform numbers, times 4 in one of 256 and 16 in one of 65536 cases.
    mutating func next() -> Float {
        // SplitMix64.
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        z ^= z >> 31
        let sum = (z & 0xFFFF) + (z >> 16 & 0xFFFF) + (z >> 32 & 0xFFFF) + (z >> 48)
        // Four uniform numbers of width 65536 have variance 4 · 65536² / 12.
        let normal = (Float(Int32(truncatingIfNeeded: sum)) - 131070) / (65536 * 0.577_350_3)
        let choice = z &* 0xD6E8_FEB8_6659_FD93 >> 48
        return choice == 0 ? normal * 16 : choice < 256 ? normal * 4 : normal
    }
}
