import Quantization
import SystemPackage
import Tensors

/// `cast`: changes the dtype of dense floating-point tensors.
struct CastStage: Stage {
    static let op = "cast"
    static let summary = "Changes the dtype of dense floating-point tensors: by default of all."
    static let needsWeights = false
    static let keys = [DenseDType.key("The new dtype.", required: true)] + NameFilter.keys

    let dtype: DType
    let filter: NameFilter

    init(_ arguments: SpecObject, directory: FilePath) throws(SpecError) {
        dtype = try arguments.choice("dtype", DenseDType.self).dtype
        filter = NameFilter(arguments)
    }

    func plan(_ model: inout PlannedModel, place: String) throws {
        let selected = try model.select(filter, place: place) {
            guard case .dense(let dtype) = $0.tensor.encoding else { return false }
            return dtype.isFloatingPoint && FloatConversion.canDecode(dtype)
        }
        for index in selected {
            let tensor = model.tensors[index].tensor
            guard case .dense(let current) = tensor.encoding, current.isFloatingPoint,
                FloatConversion.canDecode(current)
            else {
                throw PlanError(
                    place: place, problem: "cannot cast \"\(tensor.name)\", which is \(tensor.encoding.label)",
                    remedy: tensor.encoding.blockQuantization == nil
                        ? "only floating-point tensors can be cast: narrow \"include\" or add an \"exclude\""
                        : "use \"dequantize\" for 4-bit weights")
            }
            guard current != dtype else { continue }
            model.tensors[index].append(Cast(dtype: dtype))
        }
    }
}

/// Rounds dense elements once to another dtype.
struct Cast: TensorOperation {
    let dtype: DType

    var result: Encoding { .dense(dtype) }

    func apply(to chunk: Chunk, facts: OperationFacts) throws {
        if chunk.encoding == .dense(.f64) {
            chunk.becomeFromFloat64(dense: dtype)
        } else {
            chunk.become(dense: dtype, values: chunk.values)
        }
    }
}
