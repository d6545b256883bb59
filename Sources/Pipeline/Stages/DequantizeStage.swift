import Quantization
import SystemPackage
import Tensors

/// `dequantize`: 4-bit weights become dense.
struct DequantizeStage: Stage {
    static let op = "dequantize"
    static let summary = "4-bit to dense. Attached updates stay beside the weights."
    static let keys = [DenseDType.key("The dtype of the dense weights. Default: the quant state's dtype.")]

    let dtype: DType?

    init(_ arguments: SpecObject, directory: FilePath) throws(SpecError) {
        dtype = arguments.string("dtype").flatMap(DenseDType.init(rawValue:))?.dtype
    }

    func plan(_ model: inout PlannedModel, place: String) throws {
        var found = false
        for index in model.tensors.indices {
            let tensor = model.tensors[index].tensor
            guard let quantization = tensor.encoding.blockQuantization else { continue }
            found = true
            let result = try model.denseDType(dtype, of: tensor, quantization, place: place)
            model.tensors[index].append(Dequantize(dtype: result, firstRoundedTo: nil))
        }
        guard found else {
            throw PlanError(
                place: place, problem: "no tensor is 4-bit at this point",
                remedy: "remove the step, or use \"cast\" to change a dense dtype")
        }
    }
}

/// Decodes 4-bit elements.
struct Dequantize: TensorOperation {
    let dtype: DType
    /// A dtype to round to on the way; `nil`: decoded values are rounded once.
    let firstRoundedTo: DType?

    var result: Encoding { .dense(dtype) }

    func apply(to chunk: Chunk, facts: OperationFacts) throws {
        guard let firstRoundedTo, firstRoundedTo != dtype else {
            return chunk.become(dense: dtype, values: chunk.values)
        }
        let values = chunk.takeValues()
        FloatConversion.round(values, count: chunk.count, to: firstRoundedTo)
        chunk.become(dense: dtype, values: values)
    }
}
