import Tensors

/// Memory for the whole input of one tensor that goes through in several passes, so that it is read once.
///
/// Workers fill disjoint ranges in the first pass and look at them in later ones; the scheduler keeps the passes apart.
final class HeldInput: Sendable {
    nonisolated(unsafe) private let memory: UnsafeMutableRawPointer

    /// - Parameter capacity: Bytes, for the largest tensor that is held.
    init(capacity: Int) {
        memory = .allocate(byteCount: capacity, alignment: 64)
    }

    deinit {
        memory.deallocate()
    }

    /// Where bytes of the tensor are kept.
    func bytes(_ range: Range<Int>) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: memory + range.lowerBound, count: range.count)
    }
}

extension SharedProgram {
    /// The largest tensor that is held, in bytes: a linear layer of a model of some billion weights.
    static let heldLimit = 32 << 20

    /// Bytes of input worth keeping from the first pass to the last; 0 when there is one pass only, or where there is no room.
    var heldBytes: Int {
        guard phases.count(where: { $0.cut == .chunks }) > 1, case .input = source,
            case .dense = input.encoding
        else { return 0 }
        let bytes = input.byteCount(of: .values)
        return bytes <= SharedProgram.heldLimit ? bytes : 0
    }
}
