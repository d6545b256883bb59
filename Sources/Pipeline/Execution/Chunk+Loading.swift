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
        isDecoded = false
        isBaseDecoded = false
        try clock.during(.reading) {
            for (part, bytes) in encoding.byteRanges(of: range) {
                try reader.read(
                    part, ofTensor: index, at: bytes.lowerBound,
                    into: UnsafeMutableRawBufferPointer(start: memory(of: part), count: bytes.count))
            }
        }
        decodeInput()
    }

    /// Decodes dense elements, whose memory operations will use, and the scales of 4-bit ones, whose values are decoded when
    /// they are first asked for.
    private func decodeInput() {
        switch encoding {
        case .dense(let dtype):
            FloatConversion.decode(dtype, dense, count: count, into: base)
            if dtype == .f64 { base64.update(from: dense.assumingMemoryBound(to: Double.self), count: count) }
            isBaseDecoded = true
            isDecoded = true
        case .blockQuantized(let quantization):
            if let double = quantization.doubleQuantization {
                DoubleQuantizer.dequantize(
                    scaleCodes, nestedAbsmax: nestedScales, count: quantization.blockCount(elements: count),
                    blocksize: double.blocksize, offset: double.offset ?? 0, codebook: double.codebook, into: scales)
            }
        }
    }

    /// Where a part of the elements in hand stands, in the current encoding.
    func memory(of part: TensorPart) -> UnsafeMutableRawPointer {
        switch part {
        case .values: dense
        case .codes: UnsafeMutableRawPointer(codes)
        case .absmax:
            encoding.blockQuantization?.doubleQuantization == nil
                ? UnsafeMutableRawPointer(scales) : UnsafeMutableRawPointer(scaleCodes)
        case .nestedAbsmax: UnsafeMutableRawPointer(nestedScales)
        }
    }
}
