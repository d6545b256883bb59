import Checkpoints
import Quantization
import Tensors

/// What a chunk is loaded for.
enum HeldPass {
    /// A look at some of the tensor.
    case sample
    /// The first pass over all chunks of the tensor.
    case first
    /// Another one: what is held was loaded before.
    case later
}

extension Chunk {
    /// Reads a range of a tensor, for any number of branches. Values are decoded when they are first asked for.
    ///
    /// - Parameters:
    ///   - held: Where the tensor's input is kept, if it is.
    ///   - pass: What for. In all passes over a tensor its chunks are the same.
    func load(
        _ range: Range<Int>, ofTensor index: Int, from reader: any CheckpointReader, granule: Int, held: HeldInput?,
        pass: HeldPass
    ) throws {
        input = reader.tensors[index]
        self.range = range
        self.granule = granule
        let stored = range.clamped(to: 0..<input.elementCount)
        // Chunks that go on beyond the tensor are not held.
        self.held = pass == .sample || stored.count < range.count ? nil : held
        if pass == .first { self.held?.forgetScales(of: range) }
        baseParts = inputMemory
        try clock.during(.reading) {
            for (part, bytes) in input.encoding.byteRanges(of: stored) {
                if part == .values, stored.count == range.count, let place = held?.bytes(bytes).baseAddress {
                    baseParts.dense = place
                    if pass == .later { continue }
                }
                try reader.read(
                    part, ofTensor: index, at: bytes.lowerBound,
                    into: UnsafeMutableRawBufferPointer(
                        start: baseParts.memory(of: part, input.encoding), count: bytes.count))
            }
        }
        storedCount = stored.count
        count = storedCount
        isBaseDecoded = false
        decodeScales()
    }

    /// Goes back to the elements as they were loaded, for the next branch.
    ///
    /// - Parameter writers: Where the branch's emissions go.
    func rewind(writers: [any CheckpointWriter]) {
        self.writers = writers
        count = storedCount
        emissions.removeAll(keepingCapacity: true)
        encoding = input.encoding
        parts = baseParts
        hasUpdate = false
        measured = nil
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
