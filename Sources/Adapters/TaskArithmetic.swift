import Tensors

/// The combinations of `peft/utils/merge_utils.py` (PEFT 0.21.2), on one factor of each adapter, in float32 as there.
struct TaskArithmetic {
    let combination: AdapterCombination

    /// Combines factors of one shape.
    ///
    /// - Parameters:
    ///   - factors: Row-major values, one factor for each adapter.
    ///   - weights: One for each adapter.
    ///   - keys: What decides which values of each factor are dropped at random.
    func combined(_ factors: [[Float]], weights: [Float], keys: [StochasticKey]) -> [Float] {
        let kept = zip(factors, keys).map { pruned($0, key: $1) }
        return combination.method.electsSigns ? disjointMerge(kept, weights) : weightedSum(kept, weights)
    }

    private func weightedSum(_ factors: [[Float]], _ weights: [Float]) -> [Float] {
        (factors.first ?? []).indices.map { index in
            zip(factors, weights).reduce(0) { $0 + $1.0[index] * $1.1 }
        }
    }

    /// The mean of the weighted values whose sign is the majority's; signs count before weights do, and a sum of 0 is
    /// positive.
    private func disjointMerge(_ factors: [[Float]], _ weights: [Float]) -> [Float] {
        (factors.first ?? []).indices.map { index in
            let majority = factors.reduce(Float(0)) { sum, factor in
                sum + (combination.majoritySignMethod == .total ? factor[index] : sign(factor[index]))
            }
            let elected: Float = majority >= 0 ? 1 : -1
            var sum: Float = 0
            var count: Float = 0
            for (factor, weight) in zip(factors, weights) where sign(factor[index]) == elected {
                sum += factor[index] * weight
                count += 1
            }
            return sum / max(count, 1)
        }
    }

    private func sign(_ value: Float) -> Float { value > 0 ? 1 : value < 0 ? -1 : 0 }

    // MARK: - What is dropped

    private func pruned(_ values: [Float], key: StochasticKey) -> [Float] {
        guard combination.method.isSparse, combination.density < 1 else { return values }
        return combination.method.isRandom ? randomlyPruned(values, key) : magnitudePruned(values)
    }

    private func randomlyPruned(_ values: [Float], _ key: StochasticKey) -> [Float] {
        let density = Float(combination.density)
        return values.indices.map { index in
            key.fraction(at: index) < combination.density ? values[index] / density : 0
        }
    }

    /// The ⌊density · count⌋ largest magnitudes; of equal ones the first. (Which of them torch's `topk` takes is not fixed.)
    private func magnitudePruned(_ values: [Float]) -> [Float] {
        let count = Int(combination.density * Double(values.count))
        guard count > 0 else { return values.map { $0 * 0 } }
        let threshold = values.map { $0.magnitude }.sorted(by: >)[count - 1]
        var equals = count - values.count { $0.magnitude > threshold }
        return values.map { value in
            if value.magnitude > threshold { return value }
            guard value.magnitude == threshold, equals > 0 else { return 0 }
            equals -= 1
            return value
        }
    }
}
