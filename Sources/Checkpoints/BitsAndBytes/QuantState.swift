import LosslessJSON
import Tensors

/// The JSON that bitsandbytes stores beside a 4-bit weight: `QuantState.as_dict(packed=True)` without its tensors.
package struct QuantState: Hashable, Sendable {
    package var quantType: QuantType
    package var blocksize: Int
    package var dtype: DType
    package var shape: [Int]
    /// Of the scales; `nil` without double quantization.
    package var nested: Nested?

    package struct Nested: Hashable, Sendable {
        package var blocksize: Int
        package var offset: Float
    }

    /// Longer than any quant state: keys and numbers take about 200 bytes.
    static let maximumByteCount = 65536

    /// Room for a quant state whose offset is not known yet.
    static func maximumByteCount(_ quantization: BlockQuantization, shape: [Int]) -> Int {
        let state = QuantState(
            quantType: quantization.quantType, blocksize: quantization.blocksize, dtype: quantization.dtype,
            shape: shape,
            nested: quantization.doubleQuantization.map { Nested(blocksize: $0.blocksize, offset: 0) })
        // A float32 widened to double prints as at most "-1.2345678901234567e-38"; "0.0" is counted already.
        return state.encoded().count + 24
    }

    package init(quantType: QuantType, blocksize: Int, dtype: DType, shape: [Int], nested: Nested?) {
        self.quantType = quantType
        self.blocksize = blocksize
        self.dtype = dtype
        self.shape = shape
        self.nested = nested
    }

    /// Parses a quant state. Unknown keys are kept out of it, not refused.
    package init(parsing bytes: [UInt8]) throws(QuantizedTensorProblem) {
        if let state = QuantState(parsingUsual: bytes) {
            self = state
            return
        }
        let json: JSONValue
        do throws(JSONParseError) {
            json = try JSONValue(parsing: bytes, maximumDepth: 16)
        } catch {
            throw .invalidJSON(error)
        }
        func value<Value>(
            _ key: String, _ expected: String, _ convert: (JSONValue) -> Value?
        ) throws(QuantizedTensorProblem) -> Value {
            guard let member = json[key] else { throw .missingKey(key) }
            guard let value = convert(member) else {
                throw .wrongValue(key: key, expected: expected, found: member.serialized(.pythonOneLine))
            }
            return value
        }
        func blocksize(_ json: JSONValue) -> Int? { json.int.flatMap(QuantState.validBlocksize) }
        quantType = try value("quant_type", "\"nf4\" or \"fp4\"") { $0.string.flatMap(QuantType.init(rawValue:)) }
        self.blocksize = try value("blocksize", QuantState.blocksizes, blocksize)
        dtype = try value("dtype", "\"float16\", \"bfloat16\" or \"float32\"") {
            $0.string.flatMap(QuantState.validDType)
        }
        shape = try value("shape", "a list of integers from 0 on") { json in
            guard let elements = json.array else { return nil }
            let shape = elements.compactMap(\.int).filter { $0 >= 0 }
            return shape.count == elements.count ? shape : nil
        }
        guard ["nested_blocksize", "nested_dtype", "nested_offset"].contains(where: { json[$0] != nil }) else {
            nested = nil
            return
        }
        // The scales are decoded in this dtype; bitsandbytes makes no other.
        _ = try value("nested_dtype", "\"float32\"") { $0.string.flatMap { DType(torchName: $0) } == .f32 ? true : nil }
        nested = Nested(
            blocksize: try value("nested_blocksize", QuantState.blocksizes, blocksize),
            offset: try value("nested_offset", "a finite number") {
                $0.double.map { Float($0) }.flatMap { $0.isFinite ? $0 : nil }
            })
    }

    /// Reads what bitsandbytes writes, without a tree; `nil` where it is laid out in another way, or is wrong.
    private init?(parsingUsual bytes: [UInt8]) {
        var reader = JSONReader(bytes: bytes)
        guard reader.skip("{\"quant_type\": "), let quantType = (try? reader.readString()).flatMap(QuantType.init),
            reader.skip(", \"blocksize\": "), let blocksize = QuantState.readBlocksize(&reader),
            reader.skip(", \"dtype\": "), let dtype = (try? reader.readString()).flatMap(QuantState.validDType),
            reader.skip(", \"shape\": "), let shape = reader.readNaturalNumbers(limit: bytes.count)
        else { return nil }
        self.init(quantType: quantType, blocksize: blocksize, dtype: dtype, shape: shape, nested: nil)
        if reader.skip(", \"nested_blocksize\": ") {
            guard let blocksize = QuantState.readBlocksize(&reader),
                reader.skip(", \"nested_dtype\": \"float32\", \"nested_offset\": "),
                let offset = (try? reader.readNumber()).map({ Float($0.double) }), offset.isFinite
            else { return nil }
            nested = Nested(blocksize: blocksize, offset: offset)
        }
        guard reader.skip("}"), (try? reader.finish()) != nil else { return nil }
    }

    private static func readBlocksize(_ reader: inout JSONReader) -> Int? {
        (try? reader.readInteger()).flatMap(validBlocksize)
    }

    private static func validBlocksize(_ size: Int) -> Int? {
        BlockQuantization.validBlocksizes.contains(size) ? size : nil
    }

    /// What weights can be dequantized to.
    static let dtypes: [DType] = [.f16, .bf16, .f32]

    private static func validDType(_ torchName: String) -> DType? {
        DType(torchName: torchName).flatMap { dtypes.contains($0) ? $0 : nil }
    }

    private static let blocksizes =
        "one of \(BlockQuantization.validBlocksizes.map(String.init).joined(separator: ", "))"

    /// The bytes that bitsandbytes writes for this state: `json.dumps`, keys in the order of `as_dict`.
    package func encoded() -> [UInt8] {
        var json: [UInt8] = []
        json += "{\"quant_type\": \"\(quantType.rawValue)\", \"blocksize\": \(blocksize), ".utf8
        json += "\"dtype\": \"\(dtype.torchName ?? dtype.rawValue)\", \"shape\": ".utf8
        JSONValue.write(integers: shape, .pythonOneLine, to: &json)
        if let nested {
            json += ", \"nested_blocksize\": \(nested.blocksize), \"nested_dtype\": \"float32\", ".utf8
            json += "\"nested_offset\": \(JSONValue.double(Double(nested.offset)).serialized())".utf8
        }
        json.append(UInt8(ascii: "}"))
        return json
    }
}

extension QuantState {
    /// The state that describes a tensor; `nil` while the offset of its scales is not known.
    init?(_ quantization: BlockQuantization, shape: [Int]) {
        var nested: Nested?
        if let double = quantization.doubleQuantization {
            guard let offset = double.offset else { return nil }
            nested = Nested(blocksize: double.blocksize, offset: offset)
        }
        self.init(
            quantType: quantization.quantType, blocksize: quantization.blocksize, dtype: quantization.dtype,
            shape: shape,
            nested: nested)
    }
}
