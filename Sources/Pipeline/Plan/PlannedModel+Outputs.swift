import Checkpoints
import SystemPackage
import Tensors

extension PlannedModel {
    /// Plans to write the model as it stands.
    ///
    /// - Throws: ``PlanError`` when the format cannot hold it, or an attached update would be lost.
    mutating func addOutput(_ spec: OutputSpec, place: String) throws(PlanError) {
        let format = spec.format ?? defaultFormat(spec)
        try checkFormat(format, spec, place: place)
        if outputs.contains(where: { $0.spec.path == spec.path }) {
            throw PlanError(
                place: place, problem: "two outputs have the path \(spec.path)", remedy: "give each a path of its own")
        }
        if format == .bitsandbytes { warnIfNotLoadable(place: place) }
        for index in tensors.indices {
            tensors[index].operations.append(
                Emit(
                    output: outputs.count, tensor: index, encoding: tensors[index].tensor.encoding,
                    isUntouched: !tensors[index].operations.contains { !($0 is Emit) },
                    isMerged: tensors[index].operations.contains { !$0.changes.isEmpty },
                    tensorName: tensors[index].tensor.name, place: place))
        }
        outputs.append(
            PlannedOutput(
                spec: spec, format: format, tensors: tensors.map(\.tensor),
                offsetProducers: tensors.map(\.offsetProducer),
                adapters: Set(tensors.flatMap(\.pendingChanges).map(\.adapter)).sorted(), place: place))
    }

    /// The config.json of an output; `nil` when the input has none.
    func configuration(of output: PlannedOutput) -> ModelConfig? {
        let described = input.config?.describing(output.tensors, original: input.reader.tensors)
        return layerSources.map { described?.replicatingLayers($0) } ?? described
    }

    private func defaultFormat(_ spec: OutputSpec) -> OutputFormat {
        if spec.isContainer { return .nf4 }
        if spec.isPatch { return .patch }
        return tensors.contains { $0.tensor.encoding.blockQuantization != nil } ? .bitsandbytes : .safetensors
    }

    /// Refuses a format that cannot hold the model as it stands, or that the path contradicts.
    private func checkFormat(_ format: OutputFormat, _ spec: OutputSpec, place: String) throws(PlanError) {
        if format != .nf4, let waiting = tensors.first(where: { !$0.pendingChanges.isEmpty }) {
            throw PlanError(
                place: place,
                problem: "the change of \"\(waiting.tensor.name)\" is attached but not merged, and would be lost",
                remedy:
                    "put \"merge-in-4bit\" or \"dequantize-merge\" before it, or keep base and adapter in one container (\"format\": \"nf4\")"
            )
        }
        if format == .nf4, layerSources != nil, let waiting = tensors.first(where: { !$0.pendingChanges.isEmpty }) {
            throw PlanError(
                place: place,
                problem:
                    "the change of \"\(waiting.tensor.name)\" is attached but not merged, and a container would replicate the layers again when it is read",
                remedy: "put \"merge-in-4bit\" or \"dequantize-merge\" before it")
        }
        let anyQuantized = tensors.contains { $0.tensor.encoding.blockQuantization != nil }
        switch format {
        case .safetensors where anyQuantized:
            throw PlanError(
                place: place, problem: "the format safetensors holds dense tensors only, and some are 4-bit here",
                remedy: "use \"format\": \"bitsandbytes\" or \"nf4\", or put \"dequantize\" before it")
        case .bitsandbytes where !anyQuantized:
            throw PlanError(
                place: place, problem: "the format bitsandbytes holds 4-bit tensors, and none is 4-bit here",
                remedy: "use \"format\": \"safetensors\", or put \"quantize\" before it")
        case .safetensors where spec.isContainer, .bitsandbytes where spec.isContainer, .patch where spec.isContainer:
            throw PlanError(
                place: place,
                problem: "the path \(spec.path) is a container's, and the format \(format.rawValue) is none",
                remedy: "use \"format\": \"nf4\", or a path that does not end in .nf4")
        case .patch: try checkPatch(spec, place: place)
        case .nf4 where spec.path.extension == "safetensors":
            throw PlanError(
                place: place, problem: "the path \(spec.path) is not a container's", remedy: "let it end in .nf4")
        default: break
        }
        if format != .nf4, spec.compression != nil {
            throw PlanError(
                place: place, problem: "\"compression\" goes with containers, and the format is \(format.rawValue)",
                remedy: "drop it, or use \"format\": \"nf4\"")
        }
        if spec.isSingleFile, spec.maximumShardSize != nil {
            throw PlanError(
                place: place, problem: "\"max_shard_size\" needs a directory, and \"path\" names one file",
                remedy: "give \"path\" a directory, or drop \"max_shard_size\"")
        }
    }

    /// Refuses a patch that could not be, or that would hold most of the model.
    private func checkPatch(_ spec: OutputSpec, place: String) throws(PlanError) {
        guard spec.path.extension != "safetensors" else {
            throw PlanError(
                place: place, problem: "the path \(spec.path) is not a patch's", remedy: "let it end in .qpatch")
        }
        if let obstacle = input.patchObstacle {
            throw PlanError(place: place, problem: "\(input.path) \(obstacle.found)", remedy: obstacle.wayOut)
        }
        // Tensors that come from an adapter are not in the base either, but they are few and the patch holds them.
        let strange = tensors.filter { !$0.tensor.isStored(as: sourceTensor(of: $0)) }
        func bytes(_ tensors: [PlannedTensor]) -> Int { tensors.reduce(0) { $0 + $1.tensor.byteCount } }
        guard bytes(strange) * 2 > bytes(tensors),
            let first = strange.max(by: { $0.tensor.byteCount < $1.tensor.byteCount })
        else { return }
        let before = sourceTensor(of: first).encoding.label
        throw PlanError(
            place: place,
            problem:
                "a patch would be as large as the model: most of it, such as \"\(first.tensor.name)\", is stored in another way than in the input (\(before) there, \(first.tensor.encoding.label) here)",
            remedy: "write the whole model, or keep the input's encoding (\"merge-in-4bit\" does)")
    }

    /// transformers makes 4-bit modules of linear layers only; it cannot load other weights that are 4-bit.
    private mutating func warnIfNotLoadable(place: String) {
        let rule = QuantizableWeights(config: input.config)
        let names = tensors.filter {
            $0.tensor.encoding.blockQuantization != nil && !$0.wasBlockQuantized && !rule.canHold4Bit($0.tensor)
        }.map(\.tensor.name)
        guard let first = names.first else { return }
        warnings.append(
            "\(place): transformers keeps weights such as \"\(first)\" dense and will not load \(names.count == 1 ? "it" : "these \(names.count)") in 4 bits"
        )
    }
}

extension LogicalTensor {
    /// Bytes of all parts.
    fileprivate var byteCount: Int { parts.reduce(0) { $0 + $1.byteCount } }

    /// Whether all parts are as large as another tensor's, so that only values can differ.
    fileprivate func isStored(as other: LogicalTensor) -> Bool {
        parts.count == other.parts.count
            && zip(parts, other.parts).allSatisfy { $0.part == $1.part && $0.byteCount == $1.byteCount }
    }
}
