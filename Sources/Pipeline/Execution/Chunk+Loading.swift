import Checkpoints
import Quantization
import Tensors

extension Chunk {
    /// Takes a range of a tensor in hand and calls `body`, which may take it through any number of branches. Values are
    /// decoded when they are first asked for; those beyond the tensor's end are zeros.
    ///
    /// The input is used where it stands, if it needs no decoding: only while `body` runs. What `body` does is in vain when this
    /// throws.
    func load(
        _ range: Range<Int>, ofTensor index: Int, from reader: any CheckpointReader, granule: Int,
        _ body: () throws -> Void
    ) throws {
        input = reader.tensors[index]
        self.range = range
        self.granule = granule
        isBaseDecoded = false
        baseParts = inputMemory
        let stored = range.clamped(to: 0..<input.elementCount)
        let before = clock.enter(.reading)
        defer { clock.enter(before) }
        try load(input.encoding.byteRanges(of: stored)[...], ofTensor: index, from: reader) {
            if stored.count < count, case .dense(let dtype) = input.encoding { padWithZeros(from: stored.count, dtype) }
            decodeScales()
            clock.enter(.computing)
            defer { clock.enter(.reading) }
            try body()
        }
    }

    /// Gets one part after the other. What is taken as bytes may stand at any address; numbers are read to memory that is
    /// aligned for them.
    private func load(
        _ parts: ArraySlice<(part: TensorPart, bytes: Range<Int>)>, ofTensor index: Int,
        from reader: any CheckpointReader, _ body: () throws -> Void
    ) throws {
        guard let (part, bytes) = parts.first else { return try body() }
        let memory = UnsafeMutableRawBufferPointer(
            start: inputMemory.memory(of: part, input.encoding), count: bytes.count)
        guard part == .codes || part == .values && input.encoding.denseDType != .f64 else {
            try reader.read(part, ofTensor: index, at: bytes.lowerBound, into: memory)
            return try load(parts.dropFirst(), ofTensor: index, from: reader, body)
        }
        try reader.withBytes(part, ofTensor: index, at: bytes.lowerBound, using: memory) { found in
            if let start = found.baseAddress { baseParts.move(part, to: start) }
            try load(parts.dropFirst(), ofTensor: index, from: reader, body)
        }
    }

    /// A matrix that is to get more rows begins with zeros there, which every dtype has as zero bytes.
    private func padWithZeros(from storedCount: Int, _ dtype: DType) {
        let (start, end) = (storedCount * dtype.bits / 8, count * dtype.bits / 8)
        if baseParts.dense != inputMemory.dense {
            inputMemory.dense.copyMemory(from: baseParts.dense, byteCount: start)
            baseParts.dense = inputMemory.dense
        }
        (baseParts.dense + start).initializeMemory(as: UInt8.self, repeating: 0, count: end - start)
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
