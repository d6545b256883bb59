import LosslessJSON
import Quantization
import Tensors

/// The keys that `quantize` and `requantize` share: which 4-bit encoding, how to round, on which tensors.
struct QuantizationTarget: Sendable {
    let quantType: QuantType
    let blocksize: Int
    let doubleQuantization: Bool
    let rounding: FixedRounding
    let seed: UInt64
    let filter: NameFilter

    /// A rounding that does not depend on the data.
    enum FixedRounding: String, CaseIterable, Sendable {
        case nearest
        case stochastic
    }

    static let keys: [SpecKey] =
        [
            SpecKey(
                "quant_type", .choice(QuantType.allCases.map(\.rawValue)), default: "nf4",
                "The codebook, as bitsandbytes' bnb_4bit_quant_type."),
            SpecKey(
                "blocksize", .integerChoice(BlockQuantization.validBlocksizes), default: 64,
                "Elements that share a scale. transformers itself always uses 64."),
            SpecKey(
                "double_quant", .boolean, default: true,
                "Whether the scales are quantized too, as bitsandbytes' bnb_4bit_use_double_quant."),
            SpecKey(
                "rounding", .choice(FixedRounding.allCases.map(\.rawValue)), default: "nearest",
                "nearest: as bitsandbytes. stochastic: unbiased, a function of seed, tensor name and element index."),
            SpecKey(
                "seed", .integer, default: 0,
                onlyWith: .init(key: "rounding", values: [FixedRounding.stochastic.rawValue]),
                "The seed of stochastic rounding."),
        ] + NameFilter.keys

    init(_ arguments: SpecObject) throws(SpecError) {
        quantType = try arguments.choice("quant_type", QuantType.self)
        blocksize = arguments.int("blocksize") ?? 64
        doubleQuantization = arguments.bool("double_quant") ?? true
        rounding = try arguments.choice("rounding", FixedRounding.self)
        seed = UInt64(arguments.int("seed") ?? 0)
        filter = NameFilter(arguments)
    }

    /// The rounding of one tensor.
    func rule(tensorName: String) -> RoundingRule {
        switch rounding {
        case .nearest: .nearest
        case .stochastic: .stochastic(StochasticKey(seed: seed, tensorName: tensorName))
        }
    }

    /// The encoding of a tensor of this source dtype; the offset of the scales is not known yet.
    func encoding(sourceDType: DType, storage: BitsAndBytesStorage?) -> BlockQuantization {
        BlockQuantization(
            quantType: quantType, blocksize: blocksize, dtype: sourceDType,
            doubleQuantization: doubleQuantization ? DoubleQuantization() : nil, storage: storage?.forNewCodes)
    }
}

extension BitsAndBytesStorage {
    /// The same dtype to view codes as, without what described the old codes.
    var forNewCodes: BitsAndBytesStorage {
        BitsAndBytesStorage(dtype: dtype, shape: shape, quantState: nil)
    }
}
