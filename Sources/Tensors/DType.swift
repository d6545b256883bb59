/// The element types of safetensors 0.8, under the names its headers use.
///
/// Cases stand in the order of the reference implementation (`Dtype` in safetensors/src/tensor.rs): ascending alignment,
/// which decides how tensors are laid out in a file.
public enum DType: String, CaseIterable, Hashable, Sendable {
    case bool = "BOOL"
    case f4 = "F4"
    case f6e2m3 = "F6_E2M3"
    case f6e3m2 = "F6_E3M2"
    case u8 = "U8"
    case i8 = "I8"
    case f8e5m2 = "F8_E5M2"
    case f8e4m3 = "F8_E4M3"
    case f8e8m0 = "F8_E8M0"
    case f8e4m3fnuz = "F8_E4M3FNUZ"
    case f8e5m2fnuz = "F8_E5M2FNUZ"
    case i16 = "I16"
    case u16 = "U16"
    case f16 = "F16"
    case bf16 = "BF16"
    case i32 = "I32"
    case u32 = "U32"
    case f32 = "F32"
    case c64 = "C64"
    case f64 = "F64"
    case i64 = "I64"
    case u64 = "U64"

    /// Bits an element; less than 8 for the sub-byte types, whose elements are packed without padding.
    public var bits: Int {
        switch self {
        case .f4: 4
        case .f6e2m3, .f6e3m2: 6
        case .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz: 8
        case .i16, .u16, .f16, .bf16: 16
        case .i32, .u32, .f32: 32
        case .c64, .f64, .i64, .u64: 64
        }
    }

    /// Whether elements are real floating-point numbers.
    public var isFloatingPoint: Bool {
        switch self {
        case .f4, .f6e2m3, .f6e3m2, .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz, .f16, .bf16, .f32, .f64: true
        default: false
        }
    }

    /// The position in the reference writer's layout order; larger comes first in a file.
    package var layoutRank: Int { DType.allCases.firstIndex(of: self) ?? 0 }

    /// The number of bytes that `elements` packed elements take, or `nil` when that overflows or is no whole number
    /// of bytes.
    public func byteCount(elements: Int) -> Int? {
        let (bitCount, overflow) = elements.multipliedReportingOverflow(by: bits)
        guard !overflow, bitCount >= 0, bitCount % 8 == 0 else { return nil }
        return bitCount / 8
    }
}

// MARK: - Names other libraries use

extension DType {
    /// The type's name in torch (`bfloat16`), as in `config.json` and in bitsandbytes' quant states; `nil` where torch
    /// has none.
    public var torchName: String? { DType.torchNames.first { $0.value == self }?.key }

    /// The type with this name in torch: `float32`, `bfloat16`, also with a `torch.` prefix.
    public init?(torchName: some StringProtocol) {
        let name = torchName.hasPrefix("torch.") ? String(torchName.dropFirst(6)) : String(torchName)
        guard let match = DType.torchNames[name] else { return nil }
        self = match
    }

    private static let torchNames: [String: DType] = [
        "bool": .bool, "uint8": .u8, "int8": .i8, "int16": .i16, "uint16": .u16, "int32": .i32, "uint32": .u32,
        "int64": .i64, "uint64": .u64, "float16": .f16, "bfloat16": .bf16, "float32": .f32, "float64": .f64,
        "complex64": .c64, "float8_e5m2": .f8e5m2, "float8_e4m3fn": .f8e4m3, "float8_e8m0fnu": .f8e8m0,
        "float8_e4m3fnuz": .f8e4m3fnuz, "float8_e5m2fnuz": .f8e5m2fnuz,
    ]
}
