import Tensors

/// Memory for the whole input of one tensor that goes through in several passes, so that it is read once, and its scales are
/// computed once.
///
/// Workers fill disjoint ranges in the first pass and look at them in later ones; the scheduler keeps the passes apart.
final class HeldInput: Sendable {
    nonisolated(unsafe) private let memory: UnsafeMutableRawPointer
    nonisolated(unsafe) private let scales: UnsafeMutablePointer<Float>
    /// By the chunk's first element, in units of the smallest granule: the block size of the scales that are kept of it; 0
    /// while there are none.
    nonisolated(unsafe) private let blocksizes: UnsafeMutablePointer<Int>

    /// - Parameter capacity: Bytes, for the largest tensor that is held.
    init(capacity: Int) {
        memory = .allocate(byteCount: capacity, alignment: 64)
        scales = .allocate(capacity: HeldInput.scaleCount(capacity))
        blocksizes = .allocate(capacity: HeldInput.chunkCount(capacity))
        blocksizes.initialize(repeating: 0, count: HeldInput.chunkCount(capacity))
    }

    deinit {
        memory.deallocate()
        scales.deallocate()
        blocksizes.deallocate()
    }

    /// Bytes of memory in all.
    static func byteCount(capacity: Int) -> Int {
        capacity == 0 ? 0 : capacity + 4 * scaleCount(capacity) + 8 * chunkCount(capacity)
    }

    /// Room for the scales of 16-bit elements in the smallest blocks. Those of narrower ones are not kept.
    private static func scaleCount(_ capacity: Int) -> Int { capacity / 2 / smallestBlock + 1 }

    /// Elements are 8 bits wide at least.
    private static func chunkCount(_ capacity: Int) -> Int { capacity / TensorProgram.smallestGranule + 1 }

    private static let smallestBlock = BlockQuantization.validBlocksizes[0]

    /// Where bytes of the tensor are kept.
    func bytes(_ range: Range<Int>) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: memory + range.lowerBound, count: range.count)
    }

    /// Forgets what is kept of a chunk: another tensor begins.
    func forgetScales(of chunk: Range<Int>) {
        blocksizes[chunk.lowerBound / TensorProgram.smallestGranule] = 0
    }

    /// The scales of a chunk's elements; `nil` when they are not kept.
    func scales(of chunk: Range<Int>, blocksize: Int) -> UnsafePointer<Float>? {
        guard blocksizes[chunk.lowerBound / TensorProgram.smallestGranule] == blocksize else { return nil }
        return UnsafePointer(place(of: chunk))
    }

    /// Keeps the scales of a chunk's 16-bit elements, unless it has others already.
    func keep(_ source: UnsafePointer<Float>, of chunk: Range<Int>, blocksize: Int) {
        let kept = blocksizes + chunk.lowerBound / TensorProgram.smallestGranule
        guard kept.pointee == 0 else { return }
        place(of: chunk).update(from: source, count: (chunk.count + blocksize - 1) / blocksize)
        kept.pointee = blocksize
    }

    /// Whatever the blocks of others, no two chunks share a place.
    private func place(of chunk: Range<Int>) -> UnsafeMutablePointer<Float> {
        scales + chunk.lowerBound / HeldInput.smallestBlock
    }
}

extension SharedProgram {
    /// The largest tensor that is held, in bytes: a linear layer of a model of some billion weights.
    static let heldLimit = 32 << 20

    /// Bytes of input worth keeping from the first pass to the last; 0 when there is one pass only, or where there is no room.
    var heldBytes: Int {
        guard phases.count(where: { $0.cut == .chunks }) > 1, case .input = source,
            case .dense(let dtype) = input.encoding, dtype.bits >= 8
        else { return 0 }
        let bytes = input.byteCount(of: .values)
        return bytes <= SharedProgram.heldLimit ? bytes : 0
    }
}
