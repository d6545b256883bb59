import Checkpoints
import Quantization
import Tensors

extension Chunk {
    /// Reads a range of a tensor and decodes it.
    func load(_ range: Range<Int>, ofTensor index: Int, from reader: any CheckpointReader, granule: Int) throws {
        func read(_ part: TensorPart, at offset: Int, into memory: UnsafeMutableRawPointer, count: Int) throws {
            try clock.during(.reading) {
                try reader.read(
                    part, ofTensor: index, at: offset,
                    into: UnsafeMutableRawBufferPointer(start: memory, count: count))
            }
        }
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
            try read(.values, at: byteRange.lowerBound, into: dense, count: byteRange.count)
            FloatConversion.decode(dtype, dense, count: count, into: base)
            if dtype == .f64 { base64.update(from: dense.assumingMemoryBound(to: Double.self), count: count) }
        case .blockQuantized(let quantization):
            let codeRange = Chunk.byteRange(range, bits: 4)
            try read(.codes, at: codeRange.lowerBound, into: codes, count: codeRange.count)
            try loadScales(quantization, read: read)
            BlockQuantizer.dequantize(
                codes, absmax: scales, count: count, blocksize: quantization.blocksize,
                quantType: quantization.quantType, into: base)
        }
    }

    private func loadScales(
        _ quantization: BlockQuantization,
        read: (_ part: TensorPart, _ offset: Int, _ memory: UnsafeMutableRawPointer, _ count: Int) throws -> Void
    ) throws {
        let blocks = scaleRange(quantization)
        guard let double = quantization.doubleQuantization else {
            try read(.absmax, blocks.lowerBound * 4, scales, blocks.count * 4)
            return
        }
        try read(.absmax, blocks.lowerBound, scaleCodes, blocks.count)
        let nested = nestedRange(double, scales: blocks)
        try read(.nestedAbsmax, nested.lowerBound * 4, nestedScales, nested.count * 4)
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
