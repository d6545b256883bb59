import Adapters
import Quantization
import Tensors

/// Puts a whole tensor of an adapter in the base's place: `modules_to_save`, trained biases, resized embeddings.
///
/// Its values are rounded once, to the dtype of what they replace, as PEFT does when it loads them.
struct ReplaceWhole: TensorOperation {
    let change: PendingChange
    let dtype: DType
    let adapter: LoRAAdapter
    /// Index among the tensors of the adapter's file.
    let tensor: Int

    var result: Encoding { .dense(dtype) }
    var resultShape: [Int]? { adapter.weights.tensors[tensor].shape }
    var changes: [PendingChange] { [change] }

    func apply(to chunk: Chunk, facts: OperationFacts) throws {
        chunk.become(dense: dtype, values: try chunk.replacedValues(tensor, of: adapter))
    }
}
