import Checkpoints
import Quantization
import Tensors

extension Chunk {
    /// Reads a range of a tensor and decodes it.
    func load(_ range: Range<Int>, ofTensor index: Int, from reader: any CheckpointReader, granule: Int) throws {
        input = reader.tensors[index]
        self.range = range
        self.granule = granule
        encoding = input.encoding
        hasUpdate = false
        emissions.removeAll(keepingCapacity: true)
        codes = baseCodes
        current = base
        isDecoded = true
        switch input.encoding {
        case .dense(let dtype):
            let byteRange = Chunk.byteRange(range, bits: dtype.bits)
            try reader.read(
                .values, ofTensor: index, at: byteRange.lowerBound,
                into: UnsafeMutableRawBufferPointer(start: dense, count: byteRange.count))
            FloatConversion.decode(dtype, dense, count: count, into: base)
            if dtype == .f64 { base64.update(from: dense.assumingMemoryBound(to: Double.self), count: count) }
        case .blockQuantized(let quantization):
            let codeRange = Chunk.byteRange(range, bits: 4)
            try reader.read(
                .codes, ofTensor: index, at: codeRange.lowerBound,
                into: UnsafeMutableRawBufferPointer(start: codes, count: codeRange.count))
            try loadScales(quantization, ofTensor: index, from: reader)
            BlockQuantizer.dequantize(
                codes, absmax: scales, count: count, blocksize: quantization.blocksize,
                quantType: quantization.quantType, into: base)
        }
    }

    private func loadScales(
        _ quantization: BlockQuantization, ofTensor index: Int, from reader: any CheckpointReader
    ) throws {
        let blocks = scaleRange(quantization)
        guard let double = quantization.doubleQuantization else {
            try reader.read(
                .absmax, ofTensor: index, at: blocks.lowerBound * 4,
                into: UnsafeMutableRawBufferPointer(start: scales, count: blocks.count * 4))
            return
        }
        try reader.read(
            .absmax, ofTensor: index, at: blocks.lowerBound,
            into: UnsafeMutableRawBufferPointer(start: scaleCodes, count: blocks.count))
        let nested = nestedRange(double, scales: blocks)
        try reader.read(
            .nestedAbsmax, ofTensor: index, at: nested.lowerBound * 4,
            into: UnsafeMutableRawBufferPointer(start: nestedScales, count: nested.count * 4))
        DoubleQuantizer.dequantize(
            scaleCodes, nestedAbsmax: nestedScales, count: blocks.count, blocksize: double.blocksize,
            offset: double.offset ?? 0, codebook: double.codebook, into: scales)
    }

    /// The bytes that a range of elements takes; granules are whole bytes in every encoding.
    static func byteRange(_ range: Range<Int>, bits: Int) -> Range<Int> {
        range.lowerBound * bits / 8..<(range.upperBound * bits + 7) / 8
    }

    /// The scales of the elements in hand, as indices into the tensor's scales.
    func scaleRange(_ quantization: BlockQuantization) -> Range<Int> {
        let first = range.lowerBound / quantization.blocksize
        return first..<first + quantization.blockCount(elements: count)
    }

    /// The nested scales of a range of scales.
    func nestedRange(_ double: DoubleQuantization, scales: Range<Int>) -> Range<Int> {
        let first = scales.lowerBound / double.blocksize
        return first..<first + double.blockCount(scales: scales.count)
    }
}
