import LosslessJSON
import Reports
import Tensors

extension Inspection {
    /// Everything, or one tensor, for a terminal.
    public func text(tensor name: String?) throws(PlanError) -> String {
        if let name { return TerminalText.printableText(of: Inspection.lines(of: try find(name))) }
        var lines = ["\(path): \(kind), \(NumberText.bytes(fileBytes))"]
        let elements = tensors.reduce(0) { $0 + $1.elementCount }
        if elements > 0, kind != "adapter" {
            let bits = Double(fileBytes) * 8 / Double(elements)
            var size = "\(tensors.count) tensors, \(NumberText.count(elements)) weights, "
            size += "\(NumberText.fixed(bits, decimals: 2)) bits a weight in the file"
            if let quantized = containerSizes?.bitsPerQuantizedWeight {
                size += ", \(NumberText.fixed(quantized, decimals: 3)) in 4-bit tensors"
            }
            lines.append(size)
        }
        lines += encodingLines
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)" }
            lines.append("metadata: " + pairs.joined(separator: ", "))
        }
        if !sideFiles.isEmpty { lines.append("side files: " + sideFiles.joined(separator: ", ")) }
        for adapter in adapters {
            lines.append("adapter \(adapter.name), weight \(NumberText.significant(adapter.weight, digits: 4)):")
            lines += adapter.changes.compactMap(\.replacementText).map { "  \($0)" }
            lines += adapter.modules.map {
                "  \($0.name)  r \($0.matrixRank)  alpha \(NumberText.significant($0.alpha, digits: 4))  scaling \(NumberText.significant($0.scaling, digits: 4))"
                    + $0.extras.map { "  \($0)" }.joined()
            }
        }
        if let spec = provenance?["spec"] {
            lines.append(
                "made by qconv \(provenance?["qconv_version"]?.string ?? "?") from \(spec["input"]?.string ?? "?")")
        }
        if kind != "adapter" { lines += [""] + tensorLines }
        return TerminalText.printableText(of: lines)
    }

    /// How much of the model is in which encoding.
    private var encodingLines: [String] {
        var groups: [String: (tensors: Int, elements: Int, bytes: Int)] = [:]
        for tensor in tensors {
            let group = groups[tensor.encoding.label] ?? (0, 0, 0)
            groups[tensor.encoding.label] = (
                group.tensors + 1, group.elements + tensor.elementCount, group.bytes + Inspection.dataBytes(tensor)
            )
        }
        return groups.sorted { ($1.value.elements, $0.key) < ($0.value.elements, $1.key) }.map { label, group in
            "  \(label): \(group.tensors) tensors, \(NumberText.count(group.elements)) weights, \(NumberText.bytes(group.bytes))"
        }
    }

    private var tensorLines: [String] {
        let width = tensors.map(\.encoding.label.count).max() ?? 0
        return tensors.map { tensor in
            let label = tensor.encoding.label
            let shape = tensor.shape.map(String.init).joined(separator: "×")
            return "  \(label)\(String(repeating: " ", count: width - label.count))  \(tensor.name) [\(shape)]"
        }
    }

    private static func lines(of tensor: LogicalTensor) -> [String] {
        let bytes = dataBytes(tensor)
        var lines = [
            tensor.name,
            "shape      \(tensor.shape.map(String.init).joined(separator: " × ")) (\(NumberText.count(tensor.elementCount)) elements)",
            "encoding   \(tensor.encoding.label), \(NumberText.bytes(bytes))",
        ]
        guard let quantization = tensor.encoding.blockQuantization else { return lines }
        lines.append("blocksize  \(quantization.blocksize), quant state's dtype \(quantization.dtype.rawValue)")
        if let double = quantization.doubleQuantization {
            let offset = double.offset.map { pythonRepr(Double($0)) } ?? "unknown"
            lines.append("scales     quantized in blocks of \(double.blocksize), offset \(offset)")
        } else {
            lines.append("scales     float32")
        }
        return lines
    }
}
