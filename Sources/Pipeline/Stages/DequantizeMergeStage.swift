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
        try model.requireUpdates(place: place)
        for index in model.tensors.indices {
            let planned = model.tensors[index]
            let name = planned.tensor.name
            switch planned.tensor.encoding {
            case .blockQuantized(let quantization):
                let result = try model.denseDType(dtype, of: planned.tensor, quantization, place: place)
                if planned.pendingUpdates.isEmpty {
                    // Like the merged weights, and like a model that transformers has dequantized.
                    model.tensors[index].append(Dequantize(dtype: result, firstRoundedTo: quantization.dtype))
                } else {
                    model.tensors[index].append(
                        MergeDense(dtype: result, baseDType: quantization.dtype, updates: planned.pendingUpdates))
                }
            case .dense(let current) where !planned.pendingUpdates.isEmpty:
                model.tensors[index].append(
                    try MergeDense(
                        denseBase: current, asked: dtype, name: name, updates: planned.pendingUpdates, place: place))
            case .dense: continue
            }
            model.tensors[index].pendingUpdates = []
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

/// Adds updates to the decoded weight and rounds the sum once, as PEFT does on a dequantized base.
struct MergeDense: TensorOperation {
    let dtype: DType
    /// The quant state's dtype, to which a 4-bit base is rounded first; `nil` for a dense base.
    let baseDType: DType?
    let updates: [PendingUpdate]

    init(dtype: DType, baseDType: DType?, updates: [PendingUpdate]) {
        self.dtype = dtype
        self.baseDType = baseDType
        self.updates = updates
    }

    /// A merge into a weight that is dense already.
    ///
    /// - Throws: ``PlanError`` when the weight's numbers cannot be read, or not be written back in its own dtype.
    init(denseBase current: DType, asked: DType?, name: String, updates: [PendingUpdate], place: String)
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
        self.init(dtype: result, baseDType: nil, updates: updates)
    }

    var result: Encoding { .dense(dtype) }

    func apply(to chunk: Chunk, facts: OperationFacts) throws {
        let values = chunk.takeValues()
        let update = chunk.addUpdates(facts.updates)
        if let baseDType { FloatConversion.round(values, count: chunk.count, to: baseDType) }
        for index in 0..<chunk.count { values[index] += update[index] }
        chunk.become(dense: dtype, values: values)
    }
}
