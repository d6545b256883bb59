import Reports
import Tensors

/// Puts what was found about the pairs into words and figures.
struct DifferenceBuilder {
    let plan: ComparisonPlan
    let options: ComparisonOptions
    /// The pairs whose bytes are all the same.
    let identical: Set<Int>
    /// What was found about the other pairs.
    let findings: [Int: ValueComparison.Finding]
    let containedAdapters: [ContainedAdapterDifference]
    let threads: Int

    func difference() -> ModelDifference {
        // Histograms of all tensors add up to that of the model.
        var histogram = MagnitudeHistogram()
        var maximum = 0.0
        for finding in findings.values {
            histogram.merge(finding.histogram)
            maximum = max(maximum, finding.difference.sums.maxAbsError)
        }
        for index in identical where findings[index] == nil {
            histogram.addZeros(plan.pairs[index].a?.tensor.elementCount ?? 0)
        }
        return ModelDifference(
            a: plan.a, b: plan.b, adapter: plan.adapter, options: options,
            tensors: plan.pairs.indices.map(tensorDifference),
            distribution: MagnitudeDistribution(histogram, maximum: maximum), containedAdapters: containedAdapters,
            threads: threads)
    }

    private func tensorDifference(_ index: Int) -> TensorDifference {
        let pair = plan.pairs[index]
        guard let a = pair.a?.tensor, let b = pair.b?.tensor else {
            return TensorDifference(
                name: pair.name, a: pair.a?.tensor, b: pair.b?.tensor, outcome: pair.b == nil ? .onlyInA : .onlyInB)
        }
        guard a.shape == b.shape else {
            return TensorDifference(name: pair.name, a: a, b: b, outcome: .shapesDiffer)
        }
        let onOneGrid = grid(a, b)
        guard !identical.contains(index), let finding = findings[index] else {
            // The same bytes in another quant state's dtype are the same values, stored differently.
            return TensorDifference(
                name: pair.name, a: a, b: b, outcome: isStoredAlike(a, b) ? .identical : .equal,
                codesChanged: onOneGrid ? 0 : nil, scalesChanged: onOneGrid ? 0 : nil)
        }
        let found = finding.difference
        let areValues = pair.arithmetic != .bytes
        return TensorDifference(
            name: pair.name, a: a, b: b, outcome: outcome(of: pair, found, isStoredAlike(a, b)),
            tolerance: options.tolerance, sums: areValues ? found.sums : nil,
            counts: areValues || found.counts.changed > 0 ? found.counts : nil,
            distribution: areValues
                ? MagnitudeDistribution(finding.histogram, maximum: found.sums.maxAbsError) : nil,
            codesChanged: onOneGrid ? found.codesChanged : nil, scalesChanged: onOneGrid ? found.scalesChanged : nil,
            update: pair.changes.isEmpty || !areValues
                ? nil : UpdateDifference(sums: found.sumsWithUpdate, squaredStep: found.squaredStep))
    }

    private func outcome(
        of pair: TensorPair, _ found: PartialDifference, _ isStoredAlike: Bool
    ) -> TensorDifference.Outcome {
        if found.isIdentical, pair.hasOneEncoding { return isStoredAlike ? .identical : .equal }
        guard pair.arithmetic != .bytes else {
            // Without a single element there is nothing that could differ.
            if pair.a?.tensor.elementCount == 0 { return .equal }
            return pair.hasOneEncoding ? .different : .notComparable
        }
        return found.counts.changed == 0 ? .equal : .different
    }

    private func grid(_ a: LogicalTensor, _ b: LogicalTensor) -> Bool {
        guard let left = a.encoding.blockQuantization, let right = b.encoding.blockQuantization else { return false }
        return left.hasGrid(of: right)
    }

    /// Whether the descriptions are the same, but for the view that a checkpoint takes of the codes' bytes.
    private func isStoredAlike(_ a: LogicalTensor, _ b: LogicalTensor) -> Bool {
        guard var left = a.encoding.blockQuantization, var right = b.encoding.blockQuantization else {
            return a.encoding == b.encoding
        }
        left.storage = nil
        right.storage = nil
        return left == right
    }
}
