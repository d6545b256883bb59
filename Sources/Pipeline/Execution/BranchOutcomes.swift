import Reports
import Synchronization

/// What becomes of the branches of a pass.
final class BranchOutcomes: Sendable {
    private struct State {
        /// For each branch the figures of its tensors so far.
        var figures: [[TensorFigures?]]
        var settled: Set<Int> = []
    }

    private let state: Mutex<State>
    private let onResult: @Sendable (Int, Result<ConversionReport, any Error>) -> Void

    /// - Parameters:
    ///   - tensorCounts: How many tensors each branch has.
    ///   - onResult: Told the result of each branch, from any thread.
    init(
        tensorCounts: [Int], _ onResult: @escaping @Sendable (Int, Result<ConversionReport, any Error>) -> Void
    ) {
        state = Mutex(State(figures: tensorCounts.map { [TensorFigures?](repeating: nil, count: $0) }))
        self.onResult = onResult
    }

    func note(_ figures: TensorFigures, of member: SharedProgram.Member) {
        state.withLock { $0.figures[member.branch][member.tensor] = figures }
    }

    /// The figures of all tensors of a branch that has been streamed.
    func figures(of branch: Int) -> [TensorFigures] {
        state.withLock { $0.figures[branch].compactMap { $0 } }
    }

    /// The figures of those tensors of a branch that have been streamed, by index.
    func figuresByTensor(of branch: Int) -> [Int: TensorFigures] {
        let figures = state.withLock { $0.figures[branch] }
        return figures.indices.reduce(into: [:]) { $0[$1] = figures[$1] }
    }

    func isSettled(_ branch: Int) -> Bool {
        state.withLock { $0.settled.contains(branch) }
    }

    /// Tells a branch's result, once.
    func settle(_ branch: Int, _ result: Result<ConversionReport, any Error>) {
        guard state.withLock({ $0.settled.insert(branch).inserted }) else { return }
        onResult(branch, result)
    }
}
