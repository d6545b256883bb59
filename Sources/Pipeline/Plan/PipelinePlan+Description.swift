import Adapters
import Checkpoints
import LosslessJSON
import Reports
import Tensors

extension PipelinePlan {
    /// The plan as JSON.
    public var json: JSONValue {
        [
            "spec": spec.normalized,
            "tensors": .array(tensorsAsJSON),
            "adapters": .array(model.adapters.map(PipelinePlan.json(of:))),
            "outputs": .array(
                zip(model.outputs, resources.bytesWritten).map { output, bytes in
                    [
                        "path": .string(output.spec.path.string), "format": .string(output.format.rawValue),
                        "bytes": output.format == .patch ? .null : .int(bytes),
                        "free_disk": DiskSpace.free(at: output.spec.path).map { .int($0) } ?? .null,
                    ]
                }),
            "bytes_read": .int(resources.bytesRead),
            "peak_memory": .int(resources.peakMemory),
            "threads": .int(resources.threads),
            "warnings": .array(model.warnings.map { .string($0) }),
        ]
    }

    private var tensorsAsJSON: [JSONValue] {
        model.tensors.enumerated().map { index, planned in
            let before = model.sourceTensor(of: planned)
            return [
                "name": .string(planned.tensor.name), "shape": .array(planned.tensor.shape.map { .int($0) }),
                "before": .string(before.encoding.label),
                "outputs": .array(
                    model.outputs.map { output in
                        index < output.tensors.count ? .string(output.tensors[index].encoding.label) : .null
                    }),
                "untouched": .bool(!planned.operations.contains { !($0 is Emit) }),
            ]
        }
    }

    private static func json(of attached: AttachedAdapter) -> JSONValue {
        [
            "path": .string(attached.pathInSpec), "weight": .double(attached.weight),
            "modules": .array(
                zip(attached.adapter.modules, attached.placements).map { module, placement in
                    [
                        "module": .string(module.name), "rank": .int(placement.rank),
                        "scaling": .double(placement.scaling),
                        "effective_scaling": .double(placement.scaling * attached.weight),
                    ]
                }),
            "replaced": .array(attached.adapter.changes.compactMap(\.replacementJSON)),
        ]
    }

    /// The plan as text: the steps, what happens to the tensors, the adapters' modules, and what it takes.
    public func text(width: Int) -> String {
        var lines = ["input   \(spec.input)"]
        for (index, step) in (spec.normalized["steps"]?.array ?? []).enumerated() {
            lines.append("step \(index + 1)  \(PipelinePlan.describe(step))")
        }
        for (output, bytes) in zip(model.outputs, resources.bytesWritten) {
            let free = DiskSpace.free(at: output.spec.path).map { "; \(NumberText.bytes($0)) free there" } ?? ""
            let size = output.format == .patch ? "as large as what changes" : NumberText.bytes(bytes)
            lines.append("output  \(output.spec.path) (\(output.format.rawValue), \(size)\(free))")
        }
        lines.append(
            "takes   \(NumberText.bytes(resources.bytesRead)) to read, \(resources.threads) threads, \(NumberText.bytes(resources.peakMemory)) of memory for data"
        )
        lines += adapterLines
        lines += ["", "tensors"] + tensorLines(width: width)
        lines += model.warnings.map { "warning: \($0)" }
        return TerminalText.printableText(of: lines)
    }

    private static func describe(_ step: JSONValue) -> String {
        let keys = (step.object ?? [:]).elements.filter { $0.key != "op" }
            .map { "\($0.key) \($0.value.string ?? $0.value.serialized(.pythonOneLine))" }
        return ([step["op"]?.string ?? ""] + keys).joined(separator: ", ")
    }

    private var adapterLines: [String] {
        model.adapters.flatMap { attached -> [String] in
            let modules = attached.adapter.modules
            var lines = [
                "", "adapter \(attached.pathInSpec): \(modules.count) of \(modules.count) modules matched",
            ]
            lines += attached.adapter.changes.compactMap(\.replacementText).map { "  \($0)" }
            lines += zip(modules, attached.placements).map { module, placement in
                "  \(module.name)  r \(placement.rank)  scaling \(NumberText.significant(placement.scaling * attached.weight, digits: 4))"
                    + module.extras.map { "  \($0)" }.joined()
            }
            return lines
        }
    }

    private func tensorLines(width: Int) -> [String] {
        let labels = model.tensors.enumerated().map { index, planned in
            ([model.sourceTensor(of: planned).encoding.label]
                + model.outputs.map { index < $0.tensors.count ? $0.tensors[index].encoding.label : "absent" }).joined(
                    separator: " -> ")
        }
        let labelWidth = labels.map(\.count).max() ?? 0
        return zip(model.tensors, labels).map { planned, label in
            let untouched = !planned.operations.contains { !($0 is Emit) }
            let padding = String(repeating: " ", count: labelWidth - label.count)
            let shape = planned.tensor.shape.map(String.init).joined(separator: "×")
            return "  \(label)\(padding)  \(planned.tensor.name) [\(shape)]\(untouched ? "  copied" : "")"
        }
    }
}
