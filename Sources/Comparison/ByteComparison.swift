import Checkpoints
import Synchronization
import Tensors
import Workers

/// Finds the pairs whose bytes are all the same, without decoding anything.
///
/// Only pairs of one encoding take part. As soon as a pair turns out to differ, the rest of it is left to the comparison of
/// values.
struct ByteComparison: Sendable {
    /// A run of bytes of a part of a tensor.
    private struct Piece: Sendable {
        let part: TensorPart
        let bytes: Range<Int>
    }

    /// Bytes that are compared at a time. Those of both sides stay in a core's own cache.
    static let pieceBytes = 1 << 18

    let plan: ComparisonPlan
    /// The pairs that take part, as indices into the plan's.
    private let candidates: [Int]
    private let pieces: [[Piece]]
    private let jobs: JobList
    private let differs: [Flag]

    init(plan: ComparisonPlan) {
        self.plan = plan
        candidates = plan.pairs.indices.filter { plan.pairs[$0].hasOneEncoding && plan.pairs[$0].changes.isEmpty }
        pieces = candidates.map { index in
            (plan.pairs[index].a?.tensor.parts ?? []).flatMap { part, byteCount in
                stride(from: 0, to: byteCount, by: ByteComparison.pieceBytes).map {
                    Piece(part: part, bytes: $0..<min($0 + ByteComparison.pieceBytes, byteCount))
                }
            }
        }
        jobs = JobList(counts: pieces.map(\.count))
        differs = candidates.map { _ in Flag() }
    }

    /// The pairs whose bytes are the same, after all workers have returned.
    var identicalPairs: Set<Int> { Set(zip(candidates, differs).filter { !$1.isSet }.map(\.0)) }

    /// Works until there is nothing left. Several threads may do so at once.
    func work(_ supervisor: Supervisor) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 * ByteComparison.pieceBytes, alignment: 4096)
        defer { memory.deallocate() }
        var item = 0
        while supervisor.shouldGoOn, let (candidate, job) = jobs.claim(from: item) {
            item = candidate
            let piece = pieces[candidate][job]
            guard !differs[candidate].isSet, let (a, b) = plan.pairs[candidates[candidate]].comparable else { continue }
            supervisor.watch {
                let count = piece.bytes.count
                let left = UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
                let right = UnsafeMutableRawBufferPointer(rebasing: memory[count..<2 * count])
                let start = piece.bytes.lowerBound
                try plan.a.reader.withBytes(piece.part, ofTensor: a.index, at: start, using: left) { left in
                    try plan.b.reader.withBytes(
                        piece.part, ofTensor: b.index, at: start, using: right
                    ) { right in
                        guard let left = left.baseAddress, let right = right.baseAddress else { return }
                        if !equalBytes(left, right, count: count) { differs[candidate].set() }
                    }
                }
                supervisor.advance(by: 2 * count)
            }
        }
    }
}

/// A condition that several threads may find true.
private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)

    var isSet: Bool { value.load(ordering: .relaxed) }

    func set() { value.store(true, ordering: .relaxed) }
}
