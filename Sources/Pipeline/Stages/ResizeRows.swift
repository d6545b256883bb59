import Quantization
import Tensors

/// Gives an embedding or an output head another number of rows, as transformers' `resize_token_embeddings` does.
///
/// New rows are the mean of all old ones, in float64 and rounded once. (transformers adds noise of a variance of 1e-9 of
/// the rows' to that.)
struct ResizeRows: TensorOperation {
    let dtype: DType
    let shape: [Int]
    let rowsBefore: Int

    var result: Encoding { .dense(dtype) }
    var resultShape: [Int]? { shape }
    var preparations: [Preparation] { shape[0] > rowsBefore ? [.columnMeans] : [] }

    func apply(to chunk: Chunk, facts: OperationFacts) throws {
        let values = chunk.resizedValues(
            to: shape[0] * shape[1], columns: shape[1], newRow: facts.columnMeans)
        chunk.become(dense: dtype, values: values)
    }

    func observe(_ preparation: Preparation, in chunk: Chunk, facts: OperationFacts) throws -> [Observation] {
        preparation == .columnMeans ? chunk.columnSums(columns: shape[1]) : []
    }

    func conclude(_ preparation: Preparation, from observations: FoldedObservations, into facts: inout OperationFacts) {
        guard preparation == .columnMeans else { return }
        facts.columnMeans = observations.columns.sums.map { Float($0 / Double(rowsBefore)) }
    }
}
