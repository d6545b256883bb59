import Kernels
import Tensors

/// bitsandbytes' double quantization: scales minus their mean, quantized to 8 bits in blocks of 256.
///
/// The rules are those of bitsandbytes 0.50's CPU build and written down in formats/bitsandbytes-4bit.md.
public enum DoubleQuantizer {
    /// The 256 levels of the signed dynamic map (`nested_quant_map`), ascending, from −0.99296874 to 1.
    public static let codebook = makeDynamicMap()

    /// Quantizes `count` scales that start at a nested-block boundary.
    ///
    /// - Parameters:
    ///   - offset: The float32 mean of all the tensor's scales.
    ///   - codes: Room for `count` bytes.
    ///   - nestedAbsmax: Room for ⌈count / 256⌉ values.
    public static func quantize(
        _ absmax: UnsafePointer<Float>, count: Int, offset: Float, into codes: UnsafeMutablePointer<UInt8>,
        nestedAbsmax: UnsafeMutablePointer<Float>
    ) {
        codesByGridIndex.withUnsafeBufferPointer { table in
            guard let table = table.baseAddress else { return }
            qconv_quantize_scales(absmax, count, offset, table, codes, nestedAbsmax)
        }
    }

    /// Decodes scales: codebook[code] · nestedAbsmax + offset, each step rounded to float32.
    ///
    /// - Parameters:
    ///   - blocksize: Scales a nested block; `count` starts at a boundary.
    ///   - codebook: 256 levels, or `nil` for bitsandbytes' own.
    ///   - absmax: Room for `count` values.
    public static func dequantize(
        _ codes: UnsafePointer<UInt8>, nestedAbsmax: UnsafePointer<Float>, count: Int, blocksize: Int, offset: Float,
        codebook: [Float]?, into absmax: UnsafeMutablePointer<Float>
    ) {
        let levels = codebook ?? self.codebook
        precondition(levels.count == 256, "a codebook of 8-bit codes has 256 levels")
        levels.withUnsafeBufferPointer { levels in
            guard let levels = levels.baseAddress else { return }
            qconv_dequantize_scales(codes, nestedAbsmax, count, blocksize, offset, levels, absmax)
        }
    }

    /// `create_dynamic_map(signed=True)` of bitsandbytes/functional.py: for every exponent, the midpoints of 0.1 … 1 cut
    /// evenly, with one more bit of fraction the larger the exponent, and their negatives; 0 and 1.
    private static func makeDynamicMap() -> [Float] {
        let powers: [Float] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1]
        var map: [Float] = [0, 1]
        for (exponent, power) in powers.enumerated() {
            let boundaries = evenlySpaced(from: 0.1, to: 1, count: (1 << exponent) + 1)
            for (lower, upper) in zip(boundaries, boundaries.dropFirst()) {
                let magnitude = power * ((lower + upper) / 2)
                map += [magnitude, -magnitude]
            }
        }
        return map.sorted()
    }

    /// `torch.linspace` in float32: counted from the nearer end, each value rounded once.
    private static func evenlySpaced(from start: Float, to end: Float, count: Int) -> [Float] {
        let step = (end - start) / Float(count - 1)
        return (0..<count).map { index in
            index < count / 2
                ? start.addingProduct(step, Float(index)) : end.addingProduct(-step, Float(count - 1 - index))
        }
    }

    /// The code of each of bitsandbytes' 65536 grid points, −1 + 2i / 65535: how many midpoints of neighbouring levels lie
    /// below it. A value is moved to the nearest grid point before it is compared, so these decide its code.
    package static let codesByGridIndex: [UInt8] = {
        let midpoints = zip(codebook, codebook.dropFirst()).map { 0.5 * ($0 + $1) }
        var code = 0
        return (0..<65536).map { index in
            let gridPoint = Float(2 * index) / 65535 - 1
            while code < midpoints.count, midpoints[code] < gridPoint { code += 1 }
            return UInt8(code)
        }
    }()
}
