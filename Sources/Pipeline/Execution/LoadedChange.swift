import Adapters
import Quantization
import Tensors

/// A change of an adapter with its data in memory, ready for any chunk of the tensor.
///
/// V is the tensor with the changes before this one, W the tensor before any of them.
enum LoadedChange: Sendable {
    /// V + update; some updates PEFT rounds to the weight's dtype before it adds them.
    case add(LowRankUpdate, isRoundedFirst: Bool)
    /// DoRA: m / ‖W + update‖ · (V + update), with a magnitude m and a norm for each output.
    case scaleSum(LowRankUpdate, Magnitudes)
    /// Rows in the place of some of V's.
    case rows(TrainedRows)
}

/// Rows that replace some of a matrix's.
struct TrainedRows: Sendable {
    /// Where the new row of an index starts in `values`.
    let starts: [Int: Int]
    let values: [Float]
    let columns: Int

    init(indices: [Int], values: [Float], columns: Int) {
        starts = Dictionary(uniqueKeysWithValues: indices.enumerated().map { ($0.element, $0.offset * columns) })
        self.values = values
        self.columns = columns
    }
}

/// DoRA's magnitudes of one weight.
struct Magnitudes: Sendable {
    /// One for each output.
    let values: [Float]
    /// Whether outputs are the columns of the stored weight ([in, out]), not its rows.
    let areColumns: Bool
}

extension PlannedModel {
    /// Reads what a change needs while its tensor is merged; `nil` for a whole tensor, which is read as it is needed.
    func load(_ pending: PendingChange) throws -> LoadedChange? {
        let attached = adapters[pending.adapter]
        let adapter = attached.adapter
        func update(_ factors: LowRankFactors) -> LowRankUpdate {
            LowRankUpdate(factors.scaled(by: attached.weight))
        }
        switch kind(of: pending) {
        case .lowRank(let index):
            let placement = pending.placement ?? adapter.modules[index].placement
            let factors = try adapter.factors(ofModule: index, placement: placement)
            guard let magnitudes = try adapter.magnitudes(ofModule: index) else {
                return .add(update(factors), isRoundedFirst: isRoundedFirst(pending))
            }
            return .scaleSum(
                update(factors),
                Magnitudes(values: magnitudes, areColumns: placement.layout.isTransposed))
        case .bias(let index):
            return .add(update(try adapter.biasFactors(ofModule: index)), isRoundedFirst: false)
        case .rows(let tensor, let indices):
            return .rows(
                TrainedRows(
                    indices: indices, values: try adapter.rowValues(ofTensor: tensor),
                    columns: adapter.weights.tensors[tensor].shape[1]))
        case .replacement:
            return nil
        }
    }
}

extension LowRankUpdate {
    fileprivate init(_ factors: LowRankFactors) {
        self.init(
            left: factors.left, right: factors.right, blocks: factors.blocks, rows: factors.rows,
            columns: factors.columns, rank: factors.rank,
            scaling: Float(factors.scaling))
    }
}
