import Checkpoints
import Quantization
import SystemPackage
import Tensors

/// `quantize`: dense weights become 4-bit.
struct QuantizeStage: Stage {
    static let op = "quantize"
    static let summary =
        "Dense to 4-bit. By default the weights that transformers would quantize: those of linear layers, without the output head."
    static let keys = QuantizationTarget.keys

    let target: QuantizationTarget

    init(_ arguments: SpecObject, directory: FilePath) throws(SpecError) {
        target = try QuantizationTarget(arguments)
    }

    func plan(_ model: inout PlannedModel, place: String) throws {
        let quantizable = model.quantizableNames
        let selected = try model.select(target.filter, place: place) {
            quantizable.contains($0.tensor.name) && $0.tensor.encoding.denseDType != nil && $0.tensor.elementCount > 0
        }
        guard !selected.isEmpty else {
            throw PlanError(
                place: place, problem: "finds no dense weight to quantize",
                remedy: model.tensors.contains { $0.wasBlockQuantized }
                    ? "the model is 4-bit already: use \"requantize\" to change its encoding"
                    : "name the weights with \"include\"")
        }
        for index in selected {
            try model.appendQuantization(of: index, target: target, place: place)
        }
    }
}

extension PlannedModel {
    /// The tensors that transformers would quantize, by name.
    var quantizableNames: Set<String> {
        let rule = QuantizableWeights(config: input.config)
        return Set(tensors.lazy.map(\.tensor).filter(rule.contains).map(\.name))
    }

    /// Plans the quantization of one tensor, whatever its encoding is now.
    mutating func appendQuantization(of index: Int, target: QuantizationTarget, place: String) throws(PlanError) {
        let tensor = tensors[index].tensor
        let source: DType
        switch tensor.encoding {
        case .dense(let dtype): source = dtype
        case .blockQuantized(let quantization): source = quantization.dtype
        }
        guard [.bf16, .f16, .f32].contains(source) else {
            throw PlanError(
                place: place, problem: "cannot quantize \"\(tensor.name)\": it is \(source.rawValue)",
                remedy: source.isFloatingPoint && FloatConversion.canDecode(source)
                    ? "4-bit weights are made from BF16, F16 or F32: put a \"cast\" step before this one"
                    : "leave it out with \"exclude\"")
        }
        if tensor.encoding.blockQuantization == nil {
            try checkOrientation(of: tensor, place: place)
        }
        guard tensor.elementCount > 0 else {
            throw PlanError(
                place: place, problem: "cannot quantize \"\(tensor.name)\": it has no elements",
                remedy: "leave it out with \"exclude\"")
        }
        guard tensor.shape.count >= 2 else {
            throw PlanError(
                place: place, problem: "cannot quantize \"\(tensor.name)\": its shape is \(tensor.shape)",
                remedy: "4-bit weights have two dimensions at least; leave it out with \"exclude\"")
        }
        let storage = sourceTensor(of: tensors[index]).encoding.blockQuantization?.storage
        tensors[index].append(
            Quantize(
                encoding: target.encoding(sourceDType: source, storage: storage),
                rounding: target.rule(tensorName: tensor.name), tensorName: tensor.name, place: place))
    }
}

extension PlannedModel {
    /// Refuses to turn a `Conv1D` weight from dense to 4-bit or back: transformers transposes it on the way, and a copy in
    /// the other orientation would load and compute nonsense.
    func checkOrientation(of tensor: LogicalTensor, place: String) throws(PlanError) {
        guard WeightOrientation(config: input.config).isConv1D(tensor) else { return }
        throw PlanError(
            place: place,
            problem:
                "\"\(tensor.name)\" belongs to a Conv1D, which transformers stores [in, out] when dense and [out, in] in 4 bits",
            remedy:
                "qconv does not transpose weights: let transformers convert this model, or leave the weight as it is")
    }
}

/// Quantizes the elements with scales of their own.
struct Quantize: TensorOperation {
    let encoding: BlockQuantization
    let rounding: RoundingRule
    let tensorName: String
    let place: String

    var result: Encoding { .blockQuantized(encoding) }
    var preparations: [Preparation] { encoding.doubleQuantization == nil ? [] : [.scaleMean] }

    func apply(to chunk: Chunk, facts: OperationFacts) throws {
        chunk.quantize(encoding, rounding: rounding, scaleOffset: facts.scaleOffset)
    }

    func observe(_ preparation: Preparation, in chunk: Chunk, facts: OperationFacts) throws -> [Observation] {
        chunk.scaleSums(blocksize: encoding.blocksize)
    }

    func roundingUsed(_ facts: OperationFacts) -> RoundingRule? { rounding }
}
