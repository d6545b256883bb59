import Quantization
import Tensors

/// The bytes of the tables that bitsandbytes stores beside every 4-bit weight, made once: a checkpoint holds hundreds.
enum StandardTables {
    /// `nested_quant_map` with the standard levels.
    static let dynamicMap = littleEndianBytes(DoubleQuantizer.codebook)

    /// `quant_map` of a 4-bit type.
    static func quantMap(_ quantType: QuantType) -> [UInt8] {
        switch quantType {
        case .nf4: nf4
        case .fp4: fp4
        }
    }

    private static let nf4 = littleEndianBytes(QuantType.nf4.levels)
    private static let fp4 = littleEndianBytes(QuantType.fp4.levels)
}
