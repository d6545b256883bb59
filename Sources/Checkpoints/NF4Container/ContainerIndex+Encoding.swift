import Tensors

extension ContainerIndex {
    /// The index as formats/nf4-container.md describes it, before it is deflated.
    package func encoded() -> [UInt8] {
        var bytes: [UInt8] = [UInt8(pieceSizeLog2)]
        for count in [modelCount, adapterTensorCount, sideFileCount, hasProvenance ? 1 : 0] {
            bytes.appendNumber(count)
        }
        var previous = ""
        for (number, item) in items[..<sideFileRange.upperBound].enumerated() {
            bytes.appendName(item.name, after: previous)
            previous = item.name
            if number < sideFileRange.lowerBound {
                bytes.appendEncoding(item)
            } else {
                bytes.appendNumber(item.elementCount)
            }
        }
        if let provenanceItem { bytes.appendNumber(items[provenanceItem].elementCount) }
        // What cannot be compressed stands apart from what repeats from layer to layer.
        for item in items[modelRange] { bytes.appendQuantizationDetails(item) }
        bytes.appendNumber(metadata.count)
        for (key, value) in metadata.sorted(by: { $0.key.precedesByBytes($1.key) }) {
            bytes.appendString(key)
            bytes.appendString(value)
        }
        bytes.appendNumber(adapters.count)
        for adapter in adapters { bytes.appendAdapter(adapter) }
        bytes.appendNumber(chunks.count)
        for chunk in chunks { bytes.appendChunk(chunk) }
        return bytes
    }
}

/// The byte that describes a quantized tensor's details.
enum QuantizationFlags {
    static let doubleQuantization: UInt8 = 1 << 0
    static let ownCodebook: UInt8 = 1 << 1
    /// Two bits: how bitsandbytes stored the codes; 0 where it did not.
    static let storageShift: UInt8 = 2
    static let standardStorage: UInt8 = 1
    static let otherStorage: UInt8 = 2
    /// Two bits: what the quant state's text was; 0 where there was none.
    static let quantStateShift: UInt8 = 4
    static let standardQuantState: UInt8 = 1
    static let otherQuantState: UInt8 = 2
}

extension LogicalTensor {
    /// The bytes that bitsandbytes 0.50 writes as this tensor's quant state.
    var standardQuantState: [UInt8]? {
        encoding.blockQuantization.flatMap { QuantState($0, shape: shape) }?.encoded()
    }

    /// bitsandbytes' usual storage of the codes: bytes of shape [n, 1].
    var standardCodeShape: [Int] { [byteCount(of: .codes), 1] }

    var quantizationFlags: UInt8 {
        guard let quantization = encoding.blockQuantization else { return 0 }
        var flags: UInt8 = 0
        if let double = quantization.doubleQuantization {
            flags |= QuantizationFlags.doubleQuantization
            if double.codebook != nil { flags |= QuantizationFlags.ownCodebook }
        }
        guard let storage = quantization.storage else { return flags }
        let isStandard = storage.dtype == .u8 && storage.shape == standardCodeShape
        flags |=
            (isStandard ? QuantizationFlags.standardStorage : QuantizationFlags.otherStorage)
            << QuantizationFlags.storageShift
        if let quantState = storage.quantState {
            flags |=
                (quantState == standardQuantState
                    ? QuantizationFlags.standardQuantState : QuantizationFlags.otherQuantState)
                << QuantizationFlags.quantStateShift
        }
        return flags
    }
}

extension [UInt8] {
    fileprivate mutating func appendDType(_ dtype: DType) {
        append(UInt8(NF4ContainerFormat.dtypes.firstIndex(of: dtype) ?? 0))
    }

    fileprivate mutating func appendShape(_ shape: [Int]) {
        appendNumber(shape.count)
        for dimension in shape { appendNumber(dimension) }
    }

    /// A name as the number of bytes that it shares with the name before it, and the rest.
    fileprivate mutating func appendName(_ name: String, after previous: String) {
        let shared = zip(name.utf8, previous.utf8).prefix { $0 == $1 }.count
        appendNumber(shared)
        appendNumber(name.utf8.count - shared)
        append(contentsOf: name.utf8.dropFirst(shared))
    }

    fileprivate mutating func appendEncoding(_ tensor: LogicalTensor) {
        switch tensor.encoding {
        case .dense(let dtype):
            appendDType(dtype)
            appendShape(tensor.shape)
        case .blockQuantized(let quantization):
            append(
                NF4ContainerFormat.quantTypeBase
                    + UInt8(NF4ContainerFormat.quantTypes.firstIndex(of: quantization.quantType) ?? 0))
            appendShape(tensor.shape)
            append(UInt8(quantization.blocksize.trailingZeroBitCount))
            appendDType(quantization.dtype)
            append(tensor.quantizationFlags)
            if let double = quantization.doubleQuantization { append(UInt8(double.blocksize.trailingZeroBitCount)) }
        }
    }

    fileprivate mutating func appendQuantizationDetails(_ tensor: LogicalTensor) {
        guard let quantization = tensor.encoding.blockQuantization else { return }
        let flags = tensor.quantizationFlags
        if let double = quantization.doubleQuantization {
            appendLittleEndian((double.offset ?? 0).bitPattern)
            for level in double.codebook ?? [] { appendLittleEndian(level.bitPattern) }
        }
        guard let storage = quantization.storage else { return }
        if flags >> QuantizationFlags.storageShift & 3 == QuantizationFlags.otherStorage {
            appendDType(storage.dtype)
            appendShape(storage.shape)
        }
        if flags >> QuantizationFlags.quantStateShift & 3 == QuantizationFlags.otherQuantState {
            appendNumber(storage.quantState?.count ?? 0)
            append(contentsOf: storage.quantState ?? [])
        }
    }

    fileprivate mutating func appendAdapter(_ adapter: NF4ContainerAdapter) {
        appendString(adapter.name)
        appendLittleEndian(adapter.weight.bitPattern)
        appendNumber(adapter.configuration.count)
        append(contentsOf: adapter.configuration)
        appendNumber(adapter.tensors.count)
        appendNumber(adapter.modules.count)
        for module in adapter.modules {
            appendString(module.name)
            appendNumber(module.rank)
            appendLittleEndian(module.scaling.bitPattern)
            append(module.fanInFanOut ? 1 : 0)
            appendNumber(module.factors.count)
            for factor in module.factors {
                append(factor.role.rawValue)
                appendNumber(factor.tensor)
            }
        }
    }

    fileprivate mutating func appendChunk(_ chunk: ContainerChunk) {
        appendNumber(chunk.items.count)
        var previous = 0
        for item in chunk.items {
            appendNumber(item - previous)
            previous = item
        }
        for stream in chunk.streams {
            append(stream.method.rawValue)
            appendNumber(stream.storedSize)
            appendLittleEndian(stream.crc)
        }
    }
}
