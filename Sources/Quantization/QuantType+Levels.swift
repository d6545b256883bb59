import Kernels
import Tensors

extension QuantType {
    /// The 16 levels by code (bit pattern), as in bitsandbytes' `quant_map`. FP4 has two zeros, codes 0 and 8.
    public var levels: [Float] {
        withCodebook { codebook in withUnsafeBytes(of: codebook.pointee.levels) { Array($0.bindMemory(to: Float.self)) }
        }
    }

    /// The midpoints of neighbouring levels in ascending order, rounded to float32. Nearest rounding gives a value exactly
    /// on a midpoint to the lower level.
    package var midpoints: [Float] {
        withCodebook { codebook in
            withUnsafeBytes(of: codebook.pointee.midpoints) { Array($0.bindMemory(to: Float.self)) }
        }
    }

    /// The codes in ascending order of their levels, as nearest rounding chooses among them. Of FP4's zeros, 0 comes
    /// before 8.
    package var codesByRank: [UInt8] {
        withCodebook { codebook in withUnsafeBytes(of: codebook.pointee.nearest_codes) { Array($0) } }
    }

    /// The codebook as the kernels want it.
    package func withCodebook<Result>(_ body: (UnsafePointer<qconv_codebook>) -> Result) -> Result {
        switch self {
        case .nf4: withUnsafePointer(to: qconv_nf4, body)
        case .fp4: withUnsafePointer(to: qconv_fp4, body)
        }
    }
}
