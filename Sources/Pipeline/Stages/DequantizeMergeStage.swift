import Quantization
import SystemPackage
import Tensors

/// `dequantize-merge`: 4-bit or dense weights and all their updates become dense weights.
struct DequantizeMergeStage: Stage {
    static let op = "dequantize-merge"
    static let summary =
        "Merges all attached updates into dense weights: 4-bit weights are dequantized, dense ones stay dense. Every other 4-bit weight is dequantized too."
    static let keys = [
        DenseDType.key(
            "The dtype of the merged weights. Default: the quant state's dtype; for a dense weight, its own.")
    ]

    let dtype: DType?

    init(_ arguments: SpecObject, directory: FilePath) throws(SpecError) {
        dtype = arguments.string("dtype").flatMap(DenseDType.init(rawValue:))?.dtype
    }

    func plan(_ model: inout PlannedModel, place: String) throws {
        try model.requireChanges(place: place)
        for index in model.tensors.indices {
            let tensor = model.tensors[index].tensor
            let merge = model.pendingMerge(into: index)
            switch (tensor.encoding, merge) {
            case (.blockQuantized(let quantization), let merge?):
                let result = try model.denseDType(dtype, of: tensor, quantization, place: place)
                model.appendMerge(
                    MergeDense(dtype: result, baseDType: quantization.dtype, merge: merge), into: index)
            case (.blockQuantized(let quantization), nil):
                // Like the merged weights, and like a model that transformers has dequantized.
                let result = try model.denseDType(dtype, of: tensor, quantization, place: place)
                model.tensors[index].append(Dequantize(dtype: result, firstRoundedTo: quantization.dtype))
            case (.dense(let current), let merge?):
                model.appendMerge(
                    try MergeDense(denseBase: current, asked: dtype, name: tensor.name, merge: merge, place: place),
                    into: index)
            case (.dense, nil): continue
            }
        }
    }
}

extension PlannedModel {
    /// The dtype that a 4-bit weight is dequantized to: the one asked for, or its quant state's.
    func denseDType(
        _ asked: DType?, of tensor: LogicalTensor, _ quantization: BlockQuantization, place: String
    ) throws(PlanError) -> DType {
        try checkOrientation(of: tensor, place: place)
        let dtype = asked ?? quantization.dtype
        guard [.bf16, .f16, .f32].contains(dtype) else {
            throw PlanError(
                place: place, problem: "the quant state of \"\(tensor.name)\" says \(dtype.rawValue)",
                remedy: "give the step a \"dtype\": bf16, f16 or f32")
        }
        return dtype
    }
}
