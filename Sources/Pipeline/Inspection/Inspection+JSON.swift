import LosslessJSON
import Tensors

extension Inspection {
    /// Everything, or one tensor.
    public func json(tensor name: String?) throws(PlanError) -> JSONValue {
        if let name { return Inspection.json(of: try find(name)) }
        var document: JSONValue = [
            "path": .string(path.string), "kind": .string(kind), "file_bytes": .int(fileBytes),
            "metadata": .object(
                .init(uniqueKeysWithValues: metadata.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })),
            "side_files": .array(sideFiles.map { .string($0) }),
            "tensors": .array(tensors.map(Inspection.json(of:))),
            "adapters": .array(
                adapters.map { adapter in
                    [
                        "name": .string(adapter.name), "weight": .double(adapter.weight),
                        "modules": .array(
                            adapter.modules.map {
                                [
                                    "module": .string($0.name), "rank": .int($0.matrixRank), "alpha": .double($0.alpha),
                                    "scaling": .double($0.scaling), "extras": .array($0.extras.map { .string($0) }),
                                ]
                            }),
                        "replaced": .array(adapter.changes.compactMap(\.replacementJSON)),
                    ]
                }),
        ]
        if let sizes = containerSizes {
            document["bits_per_quantized_weight"] = sizes.bitsPerQuantizedWeight.map { .double($0) } ?? .null
        }
        document["provenance"] = provenance
        return document
    }

    /// A tensor by its name.
    func find(_ name: String) throws(PlanError) -> LogicalTensor {
        if let tensor = tensors.first(where: { $0.name == name }) { return tensor }
        let hint = closestMatch(to: name, among: tensors.map(\.name)).map { "did you mean \"\($0)\"? " } ?? ""
        throw PlanError(
            place: path.string, problem: "has no tensor \"\(name)\"",
            remedy: hint + "it has \(tensors.count) tensors, listed without a name")
    }

    private static func json(of tensor: LogicalTensor) -> JSONValue {
        let bytes = dataBytes(tensor)
        var entry: JSONValue = [
            "name": .string(tensor.name), "shape": .array(tensor.shape.map { .int($0) }),
            "encoding": .string(tensor.encoding.label), "elements": .int(tensor.elementCount), "bytes": .int(bytes),
        ]
        if tensor.elementCount > 0 {
            entry["bits_per_weight"] = .double(Double(bytes) * 8 / Double(tensor.elementCount))
        }
        if let quantization = tensor.encoding.blockQuantization {
            entry["quant_type"] = .string(quantization.quantType.rawValue)
            entry["blocksize"] = .int(quantization.blocksize)
            entry["dtype"] = .string(quantization.dtype.rawValue)
            entry["nested_blocksize"] = quantization.doubleQuantization.map { .int($0.blocksize) }
            entry["nested_offset"] = quantization.doubleQuantization?.offset.map { .double(Double($0)) }
            entry["quant_storage"] = quantization.storage.map { .string($0.dtype.rawValue) }
        }
        return entry
    }
}
