import SystemPackage
import Tensors

/// `requantize`: what was 4-bit before becomes 4-bit again, in whatever encoding it is now.
struct RequantizeStage: Stage {
    static let op = "requantize"
    static let summary =
        "Quantizes again what was 4-bit in the input, or everything quantizable if nothing was."
    static let keys = QuantizationTarget.keys

    let target: QuantizationTarget

    init(_ arguments: SpecObject, directory: FilePath) throws(SpecError) {
        target = try QuantizationTarget(arguments)
    }

    func plan(_ model: inout PlannedModel, place: String) throws {
        let anyWasQuantized = model.tensors.contains { $0.wasBlockQuantized }
        let quantizable = anyWasQuantized ? [] : model.quantizableNames
        let selected = try model.select(target.filter, place: place) {
            anyWasQuantized ? $0.wasBlockQuantized : quantizable.contains($0.tensor.name)
        }
        guard !selected.isEmpty else {
            throw PlanError(
                place: place, problem: "finds nothing to quantize", remedy: "name the weights with \"include\"")
        }
        for index in selected {
            try model.appendQuantization(of: index, target: target, place: place)
        }
    }
}
