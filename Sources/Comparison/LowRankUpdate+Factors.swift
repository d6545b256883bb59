import Adapters
import Quantization

extension LowRankUpdate {
    /// The update of a module's factors.
    init(_ factors: LowRankFactors) {
        self.init(
            left: factors.left, right: factors.right, blocks: factors.blocks, rows: factors.rows,
            columns: factors.columns, rank: factors.rank, scaling: Float(factors.scaling))
    }
}
