import Tensors

/// The names of the pieces of a 4-bit weight `W`.
enum BitsAndBytesNames {
    static let absmax = ".absmax"
    static let quantMap = ".quant_map"
    static let nestedAbsmax = ".nested_absmax"
    static let nestedQuantMap = ".nested_quant_map"
    /// Followed by `nf4` or `fp4`.
    static let quantState = ".quant_state.bitsandbytes__"

    static func quantState(_ quantType: QuantType) -> String { quantState + quantType.rawValue }

    /// Splits the name of a quant state into its weight's name and type: `("W", "nf4")`.
    static func splitQuantState(_ name: String) -> (weight: String, quantType: String)? {
        // Bytewise and backwards: a checkpoint has many names, and few are quant states.
        let bytes = name.utf8
        guard let underscore = bytes.lastIndex(of: UInt8(ascii: "_")) else { return nil }
        let end = bytes.index(after: underscore)
        let headCount = bytes.distance(from: bytes.startIndex, to: end)
        guard headCount > quantState.utf8.count, name.hasBytes(quantState, endingAt: headCount) else { return nil }
        let weight = String(name[..<bytes.index(end, offsetBy: -quantState.utf8.count)])
        return (weight, String(name[end...]))
    }
}
