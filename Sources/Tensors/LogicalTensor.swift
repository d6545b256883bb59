/// What a tensor's name means to a user: `model.layers.0.mlp.up_proj.weight`, of shape [out, in], in some encoding,
/// whatever pieces it is stored in.
public struct LogicalTensor: Hashable, Sendable {
    public var name: String
    /// The logical shape, outermost dimension first; empty for a scalar.
    public var shape: [Int]
    public var encoding: Encoding

    public init(name: String, shape: [Int], encoding: Encoding) {
        self.name = name
        self.shape = shape
        self.encoding = encoding
    }

    /// The number of elements. Readers have checked that it does not overflow.
    public var elementCount: Int { shape.reduce(1, *) }
}

/// How a logical tensor is stored.
public enum Encoding: Hashable, Sendable {
    /// One value an element, row-major.
    case dense(DType)
    /// bitsandbytes' 4-bit blocks: two codes a byte and a scale for every `blocksize` elements.
    case blockQuantized(BlockQuantization)

    public var blockQuantization: BlockQuantization? {
        if case .blockQuantized(let quantization) = self { quantization } else { nil }
    }

    public var denseDType: DType? {
        if case .dense(let dtype) = self { dtype } else { nil }
    }

    /// A short label for tables: `bf16`, `nf4`, `nf4+dq` (double quantization).
    public var label: String {
        switch self {
        case .dense(let dtype): dtype.rawValue.lowercased()
        case .blockQuantized(let quantization):
            quantization.quantType.rawValue + (quantization.doubleQuantization == nil ? "" : "+dq")
        }
    }
}

/// The codebook of a 4-bit encoding, under bitsandbytes' names.
public enum QuantType: String, CaseIterable, Hashable, Sendable {
    case nf4
    case fp4
}

/// A block-wise 4-bit quantization as bitsandbytes' `QuantState` describes it.
///
/// The tensor is flattened row-major and cut into blocks of `blocksize` elements that run across row ends; the last may
/// be short.
public struct BlockQuantization: Hashable, Sendable {
    public static let validBlocksizes = [32, 64, 128, 256, 512, 1024, 2048, 4096]

    public var quantType: QuantType
    /// Elements a block; one of ``validBlocksizes``.
    public var blocksize: Int
    /// The quant state's dtype: what bitsandbytes rounds decoded values to.
    public var dtype: DType
    /// How the scales (absmax) are themselves quantized; `nil` when they are float32.
    public var doubleQuantization: DoubleQuantization?
    /// How a bitsandbytes checkpoint stored the tensor, where that is not derivable; `nil` for a new tensor.
    public var storage: BitsAndBytesStorage?

    public init(
        quantType: QuantType, blocksize: Int, dtype: DType, doubleQuantization: DoubleQuantization? = nil,
        storage: BitsAndBytesStorage? = nil
    ) {
        self.quantType = quantType
        self.blocksize = blocksize
        self.dtype = dtype
        self.doubleQuantization = doubleQuantization
        self.storage = storage
    }

    /// The number of blocks, and so of scales, of a tensor with `elements` elements.
    public func blockCount(elements: Int) -> Int { (elements + blocksize - 1) / blocksize }

    /// Bytes of packed codes of a tensor with `elements` elements: two a byte, an odd count padded.
    public static func codeBytes(elements: Int) -> Int { (elements + 1) / 2 }
}

/// Quantization of the scales: `absmax = codebook[code] * nestedAbsmax + offset`, in blocks of `blocksize` scales.
public struct DoubleQuantization: Hashable, Sendable {
    /// Scales a nested block; bitsandbytes always uses 256.
    public static let standardBlocksize = 256

    public var blocksize: Int
    /// The float32 mean of the scales. A tensor that is still to be quantized has none yet.
    public var offset: Float?
    /// The 256 levels when a checkpoint brings others than bitsandbytes' dynamic map; `nil` for the standard ones.
    public var codebook: [Float]?

    public init(blocksize: Int = standardBlocksize, offset: Float? = nil, codebook: [Float]? = nil) {
        self.blocksize = blocksize
        self.offset = offset
        self.codebook = codebook
    }

    /// The number of nested blocks for `scales` scales.
    public func blockCount(scales: Int) -> Int { (scales + blocksize - 1) / blocksize }
}

/// What a bitsandbytes checkpoint chose when it stored a tensor, kept so that an untouched tensor is written back byte
/// for byte.
public struct BitsAndBytesStorage: Hashable, Sendable {
    /// `bnb_4bit_quant_storage`: the dtype that the packed codes are viewed as.
    public var dtype: DType
    /// The shape of the packed codes in that dtype; usually [n, 1].
    public var shape: [Int]
    /// The bytes of `quant_state.bitsandbytes__…` (UTF-8 JSON) while they still describe the tensor; `nil` once the
    /// quant state has changed and must be written anew.
    public var quantState: [UInt8]?

    public init(dtype: DType, shape: [Int], quantState: [UInt8]? = nil) {
        self.dtype = dtype
        self.shape = shape
        self.quantState = quantState
    }
}
