import Quantization
import Reports
import Tensors

/// What a step does to the data of one tensor, chunk by chunk.
///
/// Operations are pure: the result depends on the tensor, the chunk's range and the facts alone, never on which thread runs
/// it or on how the tensor is cut.
protocol TensorOperation: Sendable {
    /// The tensor's encoding afterwards.
    var result: Encoding { get }
    /// The tensor's shape afterwards; `nil` when it stays what it is.
    var resultShape: [Int]? { get }
    /// The changes of adapters that this operation merges, in the order they are applied in.
    var changes: [PendingChange] { get }
    /// What must be known of the whole tensor, in this order, before any chunk can go through.
    var preparations: [Preparation] { get }

    /// Whether a preparation is needed after those before it.
    func needs(_ preparation: Preparation, _ facts: OperationFacts) -> Bool

    /// Takes a chunk to the new encoding.
    func apply(to chunk: Chunk, facts: OperationFacts) throws

    /// Looks at a chunk, which has gone through all earlier operations, for a preparation.
    func observe(_ preparation: Preparation, in chunk: Chunk, facts: OperationFacts) throws -> [Observation]

    /// Draws the conclusion of a preparation from all its observations.
    func conclude(_ preparation: Preparation, from observations: FoldedObservations, into facts: inout OperationFacts)

    /// The rounding that codes were made with, for the report; `nil` when this operation makes no codes.
    func roundingUsed(_ facts: OperationFacts) -> RoundingRule?
}

extension TensorOperation {
    var resultShape: [Int]? { nil }
    var changes: [PendingChange] { [] }
    var preparations: [Preparation] { [] }
    func needs(_ preparation: Preparation, _ facts: OperationFacts) -> Bool { true }
    func observe(_ preparation: Preparation, in chunk: Chunk, facts: OperationFacts) throws -> [Observation] { [] }
    func roundingUsed(_ facts: OperationFacts) -> RoundingRule? { nil }

    func conclude(_ preparation: Preparation, from observations: FoldedObservations, into facts: inout OperationFacts) {
        switch preparation {
        case .norms: facts.concludeNorms(from: observations)
        case .scaleMean: facts.concludeScaleMean(from: observations)
        case .columnMeans, .roundingSample, .roundingOfAll: return
        }
    }
}

/// Something about a whole tensor that an operation must know beforehand.
enum Preparation: Hashable, Sendable {
    /// The lengths of the rows (or columns) of the weight plus each DoRA update.
    case norms
    /// The mean of each column, which new rows of an embedding get.
    case columnMeans
    /// Whether nearest rounding keeps enough of the update, judged on a sample of the tensor.
    case roundingSample
    /// The same judged on all of the tensor, where the sample says so: an update may be long just where samples are taken.
    case roundingOfAll
    /// The mean of the scales: the offset of double quantization.
    case scaleMean
}

/// What one granule contributes to a preparation; folded in the order of the tensor.
enum Observation: Sendable {
    /// For each change with magnitudes, sums of squares.
    case squares([OutputSums])
    /// Sums of the columns.
    case columns(OutputSums)
    case sums(ErrorSums)
    case scales(sum: Double, count: Int)
}

/// What is known of a tensor for one operation while its chunks are processed.
struct OperationFacts: Sendable {
    /// The changes to merge, scaled by their adapters' weights.
    var changes: [LoadedChange] = []
    /// For each change with magnitudes, in their order, what it multiplies the rows (or columns) of the sum with.
    var outputScales: [OutputScales] = []
    /// The mean of each column.
    var columnMeans: [Float] = []
    /// The rounding decided by a sample.
    var rounding: RoundingRule?
    /// The mean of the scales.
    var scaleOffset: Float?

    /// The mean is taken in float64; torch adds in float32, so the last bit may differ from bitsandbytes'.
    mutating func concludeScaleMean(from observations: FoldedObservations) {
        let count = observations.scaleCount
        scaleOffset = count == 0 ? 0 : Float(observations.scaleSum / Double(count))
    }
}

/// Observations added up in the order of the tensor.
struct FoldedObservations: Sendable {
    var squares: [OutputSums] = []
    var columns = OutputSums()
    var sums = ErrorSums()
    var scaleSum = 0.0
    var scaleCount = 0

    mutating func add(_ observation: Observation) {
        switch observation {
        case .squares(let next):
            if squares.isEmpty { squares = next.map { _ in OutputSums() } }
            for index in next.indices { squares[index].add(next[index]) }
        case .columns(let next): columns.add(next)
        case .sums(let next): sums.merge(next)
        case .scales(let sum, let count):
            scaleSum += sum
            scaleCount += count
        }
    }
}
