import Checkpoints
import SystemPackage
import Tensors

extension LoRAAdapter {
    /// Opens an adapter that travels inside an NF4 container.
    ///
    /// - Parameter index: Index into the container's adapters.
    /// - Throws: ``AdapterError`` as for an adapter's directory; messages name the container.
    public init(inside container: NF4ContainerReader, adapter index: Int) throws {
        let stored = container.adapters[index]
        let file = container.files.first ?? ""
        try self.init(
            directory: file, configurationFile: file.appending(stored.name), configurationBytes: stored.configuration,
            weightsFile: file.appending(stored.name), weights: container.checkpoint(ofAdapter: index), files: [])
    }

    /// The adapter as a container describes it; its tensors are those that ``forEachTensor(_:)`` hands out.
    ///
    /// - Parameter weight: What the whole adapter is multiplied with.
    public func containerForm(name: String, weight: Double) -> NF4ContainerAdapter {
        NF4ContainerAdapter(
            name: name, weight: weight, configuration: configurationBytes, tensors: weights.tensors,
            modules: containerModules)
    }

    /// The modules with all that concerns them, under the container's names.
    private var containerModules: [NF4ContainerAdapter.Module] {
        var forms: [NF4ContainerAdapter.Module] = modules.map { module in
            NF4ContainerAdapter.Module(
                name: module.name, rank: module.rank, scaling: module.scaling,
                fanInFanOut: module.kind == .linear && module.isStoredInOut, factors: module.containerFactors)
        }
        for change in changes {
            let factor: NF4ContainerAdapter.Factor
            switch change.kind {
            case .lowRank, .bias: continue
            case .replacement(let tensor, _): factor = .init(role: .wholeTensor, tensor: tensor)
            case .rows(let tensor, _): factor = .init(role: .trainedRows, tensor: tensor)
            }
            let name = change.tensorName.split(separator: ".").dropLast().joined(separator: ".")
            if let index = forms.firstIndex(where: { $0.name == name }) {
                forms[index].factors.append(factor)
            } else {
                forms.append(.init(name: name, rank: 0, scaling: 0, factors: [factor]))
            }
        }
        return forms
    }

    /// Hands the stored bytes of every tensor to `body`, one tensor at a time.
    public func forEachTensor(_ body: (_ index: Int, _ bytes: UnsafeRawBufferPointer) throws -> Void) throws {
        for (index, tensor) in weights.tensors.enumerated() {
            let bytes = UnsafeMutableRawBufferPointer.allocate(
                byteCount: tensor.byteCount(of: .values), alignment: InputFile.bufferAlignment)
            defer { bytes.deallocate() }
            try weights.read(.values, ofTensor: index, at: 0, into: bytes)
            try body(index, UnsafeRawBufferPointer(bytes))
        }
    }
}

extension LoRAModule {
    /// The tensors with their roles, under the container's names.
    fileprivate var containerFactors: [NF4ContainerAdapter.Factor] {
        let factors: [(NF4ContainerAdapter.Role, Int?)] = [
            (kind == .embedding ? .loraEmbeddingA : .loraA, tensors.a),
            (kind == .embedding ? .loraEmbeddingB : .loraB, tensors.b), (.loraMagnitudeVector, tensors.magnitude),
            (.loraBBias, tensors.bias),
        ]
        return factors.compactMap { role, tensor in
            tensor.map { NF4ContainerAdapter.Factor(role: role, tensor: $0) }
        }
    }
}
