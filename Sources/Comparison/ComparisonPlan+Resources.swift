import Workers

extension ComparisonPlan {
    /// Bytes of the tensors that both have.
    var bytesToRead: Int {
        pairs.reduce(0) { total, pair in
            guard let (a, b) = pair.comparable else { return total }
            return total + (a.tensor.parts + b.tensor.parts).reduce(0) { $0 + $1.byteCount }
        }
    }

    /// Elements of the largest of all pairs' ``TensorPair/chunks(of:)``.
    func largestChunk(of targetElements: Int) -> Int {
        pairs.lazy.map { $0.chunks(of: targetElements) }.map { min($0.elements, $0.length) }.max() ?? 0
    }

    /// The threads that the budget of memory has room for, of those asked for.
    ///
    /// - Parameters:
    ///   - capacity: Elements of the largest chunk.
    ///   - bytesPerElement: What a worker needs for each of them.
    /// - Throws: ``ComparisonError/notEnoughMemory(given:needed:)`` when there is none for one.
    func affordableThreads(
        _ options: ComparisonOptions, capacity: Int, bytesPerElement: Int
    ) throws(ComparisonError) -> Int {
        let factorBytes =
            pairs.lazy.map { pair in
                pair.changes.reduce(0) {
                    $0 + (adapter?.factorBytes(ofChange: $1.change, placement: $1.placement) ?? 0)
                }
            }.max() ?? 0
        let perThread = max(capacity * bytesPerElement + factorBytes, 2 * ByteComparison.pieceBytes)
        let affordable = options.memory / perThread
        guard affordable >= 1 else { throw .notEnoughMemory(given: options.memory, needed: perThread) }
        return min(max(1, options.threads ?? coreCount), affordable)
    }
}
