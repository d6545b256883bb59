import Reports
import Synchronization

/// What the workers have found about one pair so far.
///
/// Sums of floating-point numbers depend on the order of their additions, so parts are merged in the order of the tensor,
/// whatever the order they arrive in. Histograms count in whole numbers and need none.
final class PairProgress: Sendable {
    private struct State {
        /// Parts that arrived before an earlier one, by number.
        var waiting: [Int: PartialDifference] = [:]
        var next = 0
        var merged = PartialDifference()
        var histogram = MagnitudeHistogram()
        /// Parts whose magnitudes are in the histogram.
        var tallied = 0
    }

    private let parts: Int
    private let state = Mutex(State())

    /// - Parameter parts: The number of parts that the pair is cut into.
    init(parts: Int) {
        self.parts = parts
    }

    /// Takes what was found in one part, but for its magnitudes.
    func add(_ difference: PartialDifference, part: Int) {
        state.withLock { state in
            state.waiting[part] = difference
            while let next = state.waiting.removeValue(forKey: state.next) {
                state.merged.merge(next)
                state.next += 1
            }
        }
    }

    /// Takes the magnitudes of some parts.
    ///
    /// - Returns: What was found in the whole pair, once it is complete.
    func add(_ histogram: MagnitudeHistogram, ofParts count: Int) -> (PartialDifference, MagnitudeHistogram)? {
        state.withLock { state in
            state.histogram.merge(histogram)
            state.tallied += count
            return state.tallied == parts ? (state.merged, state.histogram) : nil
        }
    }
}
