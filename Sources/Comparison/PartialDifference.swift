import Quantization
import Reports

/// What a run of elements of two tensors differs in. Runs are merged in the order of the tensor.
struct PartialDifference: PartialResult {
    /// b against a.
    var sums = ErrorSums()
    /// b against a plus the adapter's update; zero without one.
    var sumsWithUpdate = ErrorSums()
    /// Σ of the squared distance between neighbouring levels, over all elements.
    var squaredStep = 0.0
    var counts = DifferenceCounts()
    /// Codes, and decoded scales, that differ; zero when the tensors are not on one grid.
    var codesChanged = 0
    var scalesChanged = 0
    /// Whether all bytes are the same, in the same encoding.
    var isIdentical = true

    mutating func merge(_ next: PartialDifference) {
        sums.merge(next.sums)
        sumsWithUpdate.merge(next.sumsWithUpdate)
        squaredStep += next.squaredStep
        counts.merge(next.counts)
        codesChanged += next.codesChanged
        scalesChanged += next.scalesChanged
        isIdentical = isIdentical && next.isIdentical
    }
}
