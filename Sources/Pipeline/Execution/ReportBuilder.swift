import Adapters
import Quantization
import Reports
import Tensors

/// Makes the report of a conversion from the figures that its tensors left.
struct ReportBuilder {
    let plan: PipelinePlan
    /// The figures of each tensor of the input.
    let figures: [TensorFigures]
    let inputs: [InputFingerprint]

    func report() -> ConversionReport {
        ConversionReport(
            toolVersion: qconvVersion, spec: plan.spec.normalized, inputs: inputs,
            adapters: plan.model.adapters.map {
                AdapterReport(path: $0.pathInSpec, weight: $0.weight, modulesMatched: $0.adapter.modules.count)
            },
            outputs: plan.model.outputs.indices.map(outputReport), warnings: plan.model.warnings)
    }

    private func outputReport(_ output: Int) -> OutputReport {
        let planned = plan.model.outputs[output]
        return OutputReport(
            path: planned.spec.pathInSpec, format: planned.format.rawValue,
            tensors: planned.tensors.indices.map { tensorReport($0, in: output) })
    }

    private func tensorReport(_ index: Int, in output: Int) -> TensorReport {
        let planned = plan.model.tensors[index]
        let before = plan.model.sourceTensor(of: planned)
        let after = plan.model.outputs[output].tensors[index]
        let position = planned.operations.firstIndex { ($0 as? Emit)?.output == output } ?? 0
        let earlier = planned.operations[..<position]
        guard let emitted = figures[index].emitted[output], earlier.contains(where: { !($0 is Emit) }) else {
            return emptyOrUntouched(before, after, hasOperations: earlier.contains { !($0 is Emit) })
        }
        return TensorReport(
            name: after.name, shape: after.shape, shapeBefore: before.shape, before: before.encoding,
            after: after.encoding, sums: emitted.sums,
            codesChanged: emitted.changedCodes, hasUpdate: earlier.contains { !$0.changes.isEmpty },
            rounding: figures[index].roundings[..<position].last { $0 != nil }?.map(ReportBuilder.name(of:)))
    }

    /// The report of a tensor that left no figures: one without elements, or one that was copied.
    private func emptyOrUntouched(_ before: LogicalTensor, _ after: LogicalTensor, hasOperations: Bool) -> TensorReport
    {
        guard hasOperations else { return .untouched(after) }
        return TensorReport(
            name: after.name, shape: after.shape, shapeBefore: before.shape, before: before.encoding,
            after: after.encoding, sums: ErrorSums())
    }

    private static func name(of rule: RoundingRule) -> TensorReport.Rounding {
        switch rule {
        case .nearest: .nearest
        case .stochastic: .stochastic
        }
    }
}
