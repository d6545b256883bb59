import Quantization
import Tensors

/// Merges changes into the decoded tensor and rounds the result once, as PEFT does on a dequantized base.
struct MergeDense: TensorOperation {
    let dtype: DType
    /// The quant state's dtype, to which a 4-bit base is rounded first; `nil` for a dense base.
    let baseDType: DType?
    let merge: PendingMerge
    /// The dtype that the weight has before the merge, dense or dequantized.
    private let weightDType: DType

    /// A merge into a weight that is 4-bit before.
    init(dtype: DType, baseDType: DType, merge: PendingMerge) {
        self.init(dtype: dtype, baseDType: baseDType, weightDType: baseDType, merge: merge)
    }

    private init(dtype: DType, baseDType: DType?, weightDType: DType, merge: PendingMerge) {
        self.dtype = dtype
        self.baseDType = baseDType
        self.weightDType = weightDType
        self.merge = merge
    }

    /// A merge into a weight that is dense already.
    ///
    /// - Throws: ``PlanError`` when the weight's numbers cannot be read, or not be written back in its own dtype.
    init(denseBase current: DType, asked: DType?, name: String, merge: PendingMerge, place: String)
        throws(PlanError)
    {
        guard current.isFloatingPoint, FloatConversion.canDecode(current) else {
            throw PlanError(
                place: place, problem: "\"\(name)\" has an update to merge but is \(current.rawValue)",
                remedy: "only floating-point and 4-bit weights can take one")
        }
        guard let result = asked ?? ([.bf16, .f16, .f32].contains(current) ? current : nil) else {
            throw PlanError(
                place: place, problem: "\"\(name)\" is \(current.rawValue), in which no merge is written",
                remedy: "use \"dequantize-merge\" with a \"dtype\": bf16, f16 or f32")
        }
        self.init(dtype: result, baseDType: nil, weightDType: current, merge: merge)
    }

    var result: Encoding { .dense(dtype) }
    var changes: [PendingChange] { merge.changes }
    var preparations: [Preparation] { merge.preparations }

    func apply(to chunk: Chunk, facts: OperationFacts) throws {
        chunk.become(
            dense: dtype,
            values: try chunk.mergedValues(
                facts, baseDType: baseDType, updateDType: [.bf16, .f16].contains(weightDType) ? weightDType : nil))
    }

    func observe(_ preparation: Preparation, in chunk: Chunk, facts: OperationFacts) throws -> [Observation] {
        preparation == .norms ? chunk.squareSums(facts, baseDType: baseDType) : []
    }
}
