import Checkpoints
import Quantization
import Tensors

extension Chunk {
    /// Reads a range of a tensor, for any number of branches. Values are decoded when they are first asked for.
    func load(_ range: Range<Int>, ofTensor index: Int, from reader: any CheckpointReader, granule: Int) throws {
        input = reader.tensors[index]
        self.range = range
        self.granule = granule
        try clock.during(.reading) {
            for (part, bytes) in input.encoding.byteRanges(of: range) {
                try reader.read(
                    part, ofTensor: index, at: bytes.lowerBound,
                    into: UnsafeMutableRawBufferPointer(
                        start: baseParts.memory(of: part, input.encoding), count: bytes.count))
            }
        }
        isBaseDecoded = false
        decodeScales()
    }

    /// Goes back to the elements as they were loaded, for the next branch.
    ///
    /// - Parameter writers: Where the branch's emissions go.
    func rewind(writers: [any CheckpointWriter]) {
        self.writers = writers
        emissions.removeAll(keepingCapacity: true)
        encoding = input.encoding
        parts = baseParts
        hasUpdate = false
        current = base
        isDecoded = false
    }

    private func decodeScales() {
        guard let quantization = input.encoding.blockQuantization, let double = quantization.doubleQuantization else {
            return
        }
        DoubleQuantizer.dequantize(
            baseParts.scaleCodes, nestedAbsmax: baseParts.nestedScales,
            count: quantization.blockCount(elements: count), blocksize: double.blocksize, offset: double.offset ?? 0,
            codebook: double.codebook, into: baseParts.scales)
    }
}
