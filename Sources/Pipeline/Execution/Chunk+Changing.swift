import Quantization
import Reports
import Tensors

extension Chunk {
    /// The elements as they are now, decoded to float32.
    var values: UnsafePointer<Float> {
        if !isDecoded {
            if isInput {
                decodeBase()
                current = base
            } else {
                decode(parts, encoding, 0..<count, into: working)
                current = working
            }
            isDecoded = true
        }
        return UnsafePointer(current)
    }

    /// Whether the elements stand as they were loaded.
    private var isInput: Bool { parts.dense == baseParts.dense && parts.codes == baseParts.codes }

    /// Makes ``base`` meaningful.
    func decodeBase() {
        guard !isBaseDecoded else { return }
        decode(baseParts, input.encoding, 0..<storedCount, into: base)
        (base + storedCount).update(repeating: 0, count: range.count - storedCount)
        isBaseDecoded = true
    }

    /// - Parameter elements: Whole blocks, counted from the chunk's start.
    private func decode(
        _ parts: ChunkParts, _ encoding: Encoding, _ elements: Range<Int>, into values: UnsafeMutablePointer<Float>
    ) {
        let start = elements.lowerBound
        switch encoding {
        case .dense(let dtype):
            FloatConversion.decode(dtype, parts.dense + start * dtype.bits / 8, count: elements.count, into: values)
        case .blockQuantized(let quantization):
            BlockQuantizer.dequantize(
                parts.codes + start / 2, absmax: parts.scales + start / quantization.blocksize, count: elements.count,
                blocksize: quantization.blocksize, quantType: quantization.quantType, into: values)
        }
    }

    /// The elements as they are now, in memory that the caller may change on the way to one of the `become` methods.
    func takeValues() -> UnsafeMutablePointer<Float> {
        takeValues { _ in }
        return working
    }

    /// The same in ``working``, changed on the way, piece by piece while each is in the nearest cache.
    ///
    /// - Parameter change: Gets which elements to change.
    func takeValues(_ change: (_ piece: Range<Int>) -> Void) {
        let decoded = isDecoded ? UnsafePointer(current) : isInput && isBaseDecoded ? UnsafePointer(base) : nil
        // Whole blocks.
        let length = max(Chunk.pieceLength, encoding.blockQuantization?.blocksize ?? 1)
        for start in stride(from: 0, to: count, by: length) {
            let piece = start..<min(start + length, count)
            if let decoded {
                if decoded != UnsafePointer(working) {
                    (working + start).update(from: decoded + start, count: piece.count)
                }
            } else {
                decode(parts, encoding, piece, into: working + start)
            }
            change(piece)
        }
        current = working
        isDecoded = true
    }

    /// Elements of which two runs of float32 lie in the nearest cache.
    private static let pieceLength = 2048

    /// Makes the elements dense: rounds `values` once, to nearest even.
    func become(dense dtype: DType, values: UnsafePointer<Float>) {
        FloatConversion.encode(values, count: count, as: dtype, into: ownParts.dense)
        becomeDense(dtype)
    }

    /// Makes float64 elements dense in another dtype with a single rounding.
    func becomeFromFloat64(dense dtype: DType) {
        FloatConversion.encode(float64: base64, count: count, as: dtype, into: ownParts.dense)
        becomeDense(dtype)
    }

    private func becomeDense(_ dtype: DType) {
        parts.dense = ownParts.dense
        encoding = .dense(dtype)
        isDecoded = false
        measured = nil
    }

    /// The input as float64, which is how it is stored.
    private var base64: UnsafePointer<Double> {
        UnsafePointer(baseParts.dense.assumingMemoryBound(to: Double.self))
    }

    /// Makes the elements as they are now 4-bit, with scales of their own.
    ///
    /// - Parameter scaleOffset: as for ``become(quantized:values:rounding:scaleOffset:)``.
    func quantize(_ target: BlockQuantization, rounding: RoundingRule, scaleOffset: Float?) {
        guard case .dense(let dtype) = encoding, !isBaseDecoded, !hasUpdate,
            computeStoredScales(blocksize: target.blocksize, into: exactScales)
        else { return become(quantized: target, values: values, rounding: rounding, scaleOffset: scaleOffset) }
        let stored = baseParts.dense
        let codes = spareCodes
        becomeQuantized(target, codes, scaleOffset: scaleOffset)
        // Granule by granule, each decoded to the same place, which stays in the nearest cache.
        let isMeasured = isMeasured || !hasFiniteScales
        measured = granules.compactMap { granule in
            FloatConversion.decode(
                dtype, stored + granule.lowerBound * dtype.bits / 8, count: granule.count, into: working)
            return quantize(UnsafePointer(working), granule, target, rounding, into: codes, measuring: isMeasured)
        }
    }

    /// Makes the elements 4-bit with scales of their own.
    ///
    /// - Parameter scaleOffset: the mean of the whole tensor's scales; needed with double quantization. Without it the
    ///   scales stay float32, which is what a look at a sample does.
    func become(
        quantized target: BlockQuantization, values: UnsafePointer<Float>, rounding: RoundingRule, scaleOffset: Float?
    ) {
        let isExact = values == UnsafePointer(base) && !hasUpdate
        let codes = spareCodes
        computeScales(of: values, blocksize: target.blocksize, into: exactScales)
        becomeQuantized(target, codes, scaleOffset: scaleOffset)
        let isMeasured = isMeasured || !hasFiniteScales
        let sums = granules.compactMap { granule in
            quantize(
                values + granule.lowerBound, granule, target, rounding, into: codes, measuring: isMeasured && isExact)
        }
        measured = isMeasured && !isExact ? nil : sums
    }

    /// Whether the scales that have been made are numbers. Then so is all that they were made of and stand for.
    private var hasFiniteScales: Bool {
        let blocks = encoding.blockQuantization?.blockCount(elements: count) ?? 0
        return BlockQuantizer.areFinite(exactScales, count: blocks)
            && BlockQuantizer.areFinite(parts.scales, count: blocks)
    }

    /// Takes over codes that are to be made on ``exactScales``, and stores these.
    private func becomeQuantized(
        _ target: BlockQuantization, _ codes: UnsafeMutablePointer<UInt8>, scaleOffset: Float?
    ) {
        parts = ownParts
        parts.codes = codes
        if let double = target.doubleQuantization, let offset = scaleOffset {
            let blocks = target.blockCount(elements: count)
            DoubleQuantizer.quantize(
                exactScales, count: blocks, offset: offset, into: parts.scaleCodes, nestedAbsmax: parts.nestedScales)
            DoubleQuantizer.dequantize(
                parts.scaleCodes, nestedAbsmax: parts.nestedScales, count: blocks, blocksize: double.blocksize,
                offset: offset, codebook: double.codebook, into: parts.scales)
        } else {
            parts.scales.update(from: exactScales, count: target.blockCount(elements: count))
        }
        encoding = .blockQuantized(target)
        isDecoded = false
    }

    /// Makes the codes of a granule with these values on ``exactScales``.
    private func quantize(
        _ values: UnsafePointer<Float>, _ granule: Range<Int>, _ target: BlockQuantization, _ rounding: RoundingRule,
        into codes: UnsafeMutablePointer<UInt8>, measuring: Bool
    ) -> ErrorSums? {
        let firstBlock = granule.lowerBound / target.blocksize
        guard measuring else {
            BlockQuantizer.quantize(
                values, absmax: exactScales + firstBlock, count: granule.count, blocksize: target.blocksize,
                quantType: target.quantType, rounding: rounding,
                firstIndex: UInt64(range.lowerBound + granule.lowerBound), into: codes + granule.lowerBound / 2)
            return nil
        }
        return BlockQuantizer.quantizeMeasuring(
            values, absmax: exactScales + firstBlock, writtenAbsmax: parts.scales + firstBlock, count: granule.count,
            blocksize: target.blocksize, quantType: target.quantType, rounding: rounding,
            firstIndex: UInt64(range.lowerBound + granule.lowerBound), into: codes + granule.lowerBound / 2)
    }

    /// Moves codes by an update on the scales that they have.
    func moveCodes(by update: UnsafePointer<Float>, result: BlockQuantization, rounding: RoundingRule) {
        let moved = spareCodes
        if isMeasured, isInput, update == UnsafePointer(self.update) {
            measured = moveMeasuring(update, result, rounding, into: moved)
        } else {
            let areFinite = BlockQuantizer.requantize(
                baseCodes: parts.codes, absmax: parts.scales, update: update, count: count,
                blocksize: result.blocksize, quantType: result.quantType, rounding: rounding,
                firstIndex: UInt64(range.lowerBound), into: moved)
            measured = areFinite && !isMeasured ? [] : nil
        }
        parts.codes = moved
        encoding = .blockQuantized(result)
        isDecoded = false
    }

    private func moveMeasuring(
        _ update: UnsafePointer<Float>, _ result: BlockQuantization, _ rounding: RoundingRule,
        into codes: UnsafeMutablePointer<UInt8>
    ) -> [ErrorSums] {
        granules.map { granule in
            BlockQuantizer.requantizeMeasuring(
                baseCodes: parts.codes + granule.lowerBound / 2,
                absmax: parts.scales + granule.lowerBound / result.blocksize, update: update + granule.lowerBound,
                count: granule.count, blocksize: result.blocksize, quantType: result.quantType, rounding: rounding,
                firstIndex: UInt64(range.lowerBound + granule.lowerBound), into: codes + granule.lowerBound / 2)
        }
    }

    /// Memory for new codes that holds neither the input's nor the current ones.
    private var spareCodes: UnsafeMutablePointer<UInt8> {
        parts.codes == ownParts.codes ? otherCodes : ownParts.codes
    }
}

// MARK: - Figures

extension Chunk {
    /// The ranges of the granules of the elements in hand, counted from the chunk's start.
    var granules: [Range<Int>] {
        stride(from: 0, to: count, by: granule).map { $0..<min($0 + granule, count) }
    }

    /// The error sums of each granule: the elements as they are now against the input plus all updates merged so far.
    func errorSums() -> [ErrorSums] {
        if let measured { return measured }
        let update = hasUpdate ? UnsafePointer(update) : nil
        if case .dense(.f64) = input.encoding, count <= storedCount {
            let written = values
            return granules.map { granule in
                ErrorSums(
                    base: base64 + granule.lowerBound, update: update.map { $0 + granule.lowerBound },
                    written: written + granule.lowerBound, count: granule.count)
            }
        }
        let base = measuredBase
        let written = isDecoded ? .values(UnsafePointer(current)) : undecoded(parts, encoding) ?? .values(values)
        return granules.map { granule in
            ErrorSums(
                base: base.dropFirst(granule.lowerBound), update: update.map { $0 + granule.lowerBound },
                written: written.dropFirst(granule.lowerBound), count: granule.count)
        }
    }

    /// How many of the elements in hand are NaN or infinite in the input.
    var nonFiniteStored: Int {
        let compared = min(count, storedCount)
        if case .dense(.f64) = input.encoding { return (0..<compared).count { !base64[$0].isFinite } }
        decodeBase()
        return (0..<compared).count { !base[$0].isFinite }
    }

    private var measuredBase: MeasuredElements {
        if !isBaseDecoded, count <= storedCount, let codes = undecoded(baseParts, input.encoding) { return codes }
        decodeBase()
        return .values(UnsafePointer(base))
    }

    /// 4-bit elements, for what can do without decoding them to memory.
    private func undecoded(_ parts: ChunkParts, _ encoding: Encoding) -> MeasuredElements? {
        encoding.blockQuantization.map {
            .codes(
                UnsafePointer(parts.codes), absmax: UnsafePointer(parts.scales), blocksize: $0.blocksize,
                quantType: $0.quantType)
        }
    }

    /// How many codes differ from the input's, where a row that it does not have counts as different; `nil` unless both are codes of
    /// one codebook for the same blocks.
    var changedCodes: Int? {
        guard let before = input.encoding.blockQuantization, let now = encoding.blockQuantization,
            before.quantType == now.quantType, before.blocksize == now.blocksize
        else { return nil }
        let compared = min(count, storedCount)
        return count - compared
            + (parts.codes == baseParts.codes
                ? 0 : BlockQuantizer.changedCodes(baseParts.codes, parts.codes, count: compared))
    }

    /// The sum of the scales that each granule of `values` has, and their number.
    func scaleSums(of values: UnsafePointer<Float>, blocksize: Int) -> [Observation] {
        BlockQuantizer.absmax(values, count: count, blocksize: blocksize, into: exactScales)
        return exactScaleSums(blocksize: blocksize)
    }

    /// The same for the elements as they are now, which are not decoded if that can be spared.
    func scaleSums(blocksize: Int) -> [Observation] {
        guard computeStoredScales(blocksize: blocksize, into: exactScales) else {
            return scaleSums(of: values, blocksize: blocksize)
        }
        return exactScaleSums(blocksize: blocksize)
    }

    private func exactScaleSums(blocksize: Int) -> [Observation] {
        granules.map { granule in
            let first = granule.lowerBound / blocksize
            let blocks = (granule.count + blocksize - 1) / blocksize
            var sum = 0.0
            for block in first..<first + blocks { sum += Double(exactScales[block]) }
            return .scales(sum: sum, count: blocks)
        }
    }

    /// The scales of `values`, faster if these are the input's.
    private func computeScales(
        of values: UnsafePointer<Float>, blocksize: Int, into scales: UnsafeMutablePointer<Float>
    ) {
        if values == UnsafePointer(base), computeStoredScales(blocksize: blocksize, into: scales) { return }
        BlockQuantizer.absmax(values, count: count, blocksize: blocksize, into: scales)
    }

    /// The scales of elements that stand as they were loaded, if their dtype needs no decoding.
    private func computeStoredScales(blocksize: Int, into scales: UnsafeMutablePointer<Float>) -> Bool {
        guard isInput, case .dense(let dtype) = encoding, BlockQuantizer.hasAbsmax(of: dtype) else { return false }
        if let kept = held?.scales(of: range, blocksize: blocksize) {
            scales.update(from: kept, count: (count + blocksize - 1) / blocksize)
        } else {
            BlockQuantizer.absmax(dtype, parts.dense, count: count, blocksize: blocksize, into: scales)
            held?.keep(scales, of: range, blocksize: blocksize)
        }
        return true
    }
}
