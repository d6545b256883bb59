import Checkpoints
import Quantization
import Tensors

/// Elements of one tensor in hand, as they are stored and as numbers, and the memory for them.
///
/// A worker has two of them and fills them again and again. A slice starts and ends with a block and a nested block, or
/// with the tensor.
final class TensorSlice {
    /// Bytes of memory for each element of capacity, an upper bound over all encodings, as long as nothing is decoded.
    static let bytesPerElement = 8 + 1
    /// The same with ``values``.
    static let bytesPerElementDecoded = bytesPerElement + 4
    /// The same with ``doubles``.
    static let bytesPerElementInFloat64 = bytesPerElementDecoded + 8

    private(set) var encoding = Encoding.dense(.f32)
    private(set) var count = 0
    /// The elements as float32, after ``decode()``; memory that nobody writes to takes none.
    let values: UnsafeMutablePointer<Float>
    /// The decoded scales of a 4-bit tensor, after ``decodeScales()``.
    let scales: UnsafeMutablePointer<Float>
    /// The elements as float64, after ``decodeToFloat64()``; few models need them.
    private(set) lazy var doubles = UnsafeMutablePointer<Double>.allocate(capacity: capacity)
    private var hasDoubles = false
    /// How many bytes the elements in hand have.
    private(set) var byteCount = 0
    /// Dense elements or packed codes, as stored: in the file, or in ``memory``. At any alignment.
    private var stored: UnsafeRawPointer
    private let memory: UnsafeMutableRawPointer
    private let storedScales: UnsafeMutableRawPointer
    private let nestedScales: UnsafeMutablePointer<Float>
    private let capacity: Int

    /// - Parameter capacity: The most elements that the slice can hold.
    init(capacity: Int) {
        self.capacity = max(capacity, 64)
        let scaleCapacity = self.capacity / BlockQuantization.validBlocksizes[0] + 1
        values = .allocate(capacity: self.capacity)
        memory = .allocate(byteCount: self.capacity * 8, alignment: 64)
        stored = UnsafeRawPointer(memory)
        scales = .allocate(capacity: scaleCapacity)
        storedScales = .allocate(byteCount: scaleCapacity * 4, alignment: 64)
        nestedScales = .allocate(capacity: scaleCapacity)
    }

    deinit {
        if hasDoubles { doubles.deallocate() }
        values.deallocate()
        memory.deallocate()
        scales.deallocate()
        storedScales.deallocate()
        nestedScales.deallocate()
    }

    /// Calls `body` while the slice holds a range of a tensor's elements.
    func hold(
        _ range: Range<Int>, of side: TensorPair.Side, from reader: any CheckpointReader, _ body: () throws -> Void
    ) throws {
        encoding = side.tensor.encoding
        count = range.count
        let parts = encoding.byteRanges(of: range)
        byteCount = parts.reduce(0) { $0 + $1.bytes.count }
        // Scales are few.
        for (part, bytes) in parts.dropFirst() {
            try reader.read(
                part, ofTensor: side.index, at: bytes.lowerBound,
                into: UnsafeMutableRawBufferPointer(start: memory(of: part), count: bytes.count))
        }
        for (part, bytes) in parts.prefix(1) {
            let memory = UnsafeMutableRawBufferPointer(start: memory(of: part), count: bytes.count)
            try reader.withBytes(part, ofTensor: side.index, at: bytes.lowerBound, using: memory) { bytes in
                stored = bytes.baseAddress ?? stored
                defer { stored = UnsafeRawPointer(self.memory) }
                try body()
            }
        }
    }

    /// Whether another slice of the same encoding has the same bytes.
    func hasBytes(of other: TensorSlice) -> Bool {
        encoding.byteRanges(of: 0..<count).allSatisfy { part, bytes in
            equalBytes(self.bytes(of: part), other.bytes(of: part), count: bytes.count)
        }
    }

    /// The packed codes of a 4-bit tensor.
    var codes: UnsafePointer<UInt8> { stored.bindMemory(to: UInt8.self, capacity: (count + 1) / 2) }

    private func bytes(of part: TensorPart) -> UnsafeRawPointer {
        switch part {
        case .values, .codes: stored
        case .absmax, .nestedAbsmax: UnsafeRawPointer(memory(of: part))
        }
    }

    /// Where bytes go that are read.
    private func memory(of part: TensorPart) -> UnsafeMutableRawPointer {
        switch part {
        case .values, .codes: memory
        case .absmax: storedScales
        case .nestedAbsmax: UnsafeMutableRawPointer(nestedScales)
        }
    }

    /// The elements for those who decode them on the way; of a 4-bit tensor after ``decodeScales()``.
    var elements: MeasuredElements {
        switch encoding {
        case .dense(let dtype): .stored(dtype, stored)
        case .blockQuantized(let quantization):
            .codes(codes, absmax: scales, blocksize: quantization.blocksize, quantType: quantization.quantType)
        }
    }

    /// Makes ``values``, and ``scales`` of a 4-bit tensor.
    func decode() {
        switch encoding {
        case .dense(let dtype): FloatConversion.decode(dtype, stored, count: count, into: values)
        case .blockQuantized(let quantization):
            decodeScales()
            BlockQuantizer.dequantize(
                codes, absmax: scales, count: count, blocksize: quantization.blocksize,
                quantType: quantization.quantType, into: values)
        }
    }

    /// Makes ``scales``, if the tensor has any.
    func decodeScales() {
        guard let quantization = encoding.blockQuantization else { return }
        let blocks = quantization.blockCount(elements: count)
        guard let double = quantization.doubleQuantization else {
            UnsafeMutableRawPointer(scales).copyMemory(from: storedScales, byteCount: blocks * 4)
            return
        }
        DoubleQuantizer.dequantize(
            storedScales.bindMemory(to: UInt8.self, capacity: blocks), nestedAbsmax: nestedScales, count: blocks,
            blocksize: double.blocksize, offset: double.offset ?? 0, codebook: double.codebook, into: scales)
    }

    /// Makes ``doubles``.
    func decodeToFloat64() {
        hasDoubles = true
        guard case .dense(let dtype) = encoding, !dtype.isNarrowFloat else {
            decode()
            for index in 0..<count { doubles[index] = Double(values[index]) }
            return
        }
        switch dtype {
        case .f64: UnsafeMutableRawPointer(doubles).copyMemory(from: stored, byteCount: count * 8)
        case .bool, .u8: widen(UInt8.self)
        case .i8: widen(Int8.self)
        case .i16: widen(Int16.self)
        case .u16: widen(UInt16.self)
        case .i32: widen(Int32.self)
        case .u32: widen(UInt32.self)
        case .i64: widen(Int64.self)
        case .u64: widen(UInt64.self)
        default: return
        }
    }

    private func widen<Integer: FixedWidthInteger>(_ type: Integer.Type) {
        for index in 0..<count { doubles[index] = Double(integer(at: index, as: type)) }
    }

    /// An element as it is stored; call ``decodeToFloat64()`` first.
    func exactNumber(at index: Int) -> ExactNumber {
        switch encoding {
        case .dense(.i64): ExactNumber(integer(at: index, as: Int64.self))
        case .dense(.u64): ExactNumber(integer(at: index, as: UInt64.self))
        default: ExactNumber(doubles[index])
        }
    }

    private func integer<Integer: FixedWidthInteger>(at index: Int, as type: Integer.Type) -> Integer {
        let size = MemoryLayout<Integer>.size
        return Integer(littleEndian: (stored + index * size).loadUnaligned(as: type))
    }

    /// How many elements of a given width differ from another slice's, as bytes.
    func differingElements(from other: TensorSlice, width: Int) -> Int {
        (0..<count).count { !equalBytes(stored + $0 * width, other.stored + $0 * width, count: width) }
    }
}

extension DType {
    /// Whether every value is a float32.
    fileprivate var isNarrowFloat: Bool { isFloatingPoint && self != .f64 }
}
