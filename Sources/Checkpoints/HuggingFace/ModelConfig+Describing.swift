import Tensors

extension ModelConfig {
    /// The config of a model with these tensors: with the right `quantization_config`, or without one, with the dtype of its
    /// weights, and with the vocabulary of its embeddings.
    ///
    /// When the 4-bit tensors are not those that transformers would choose, `llm_int8_skip_modules` names the others, so
    /// that the model loads as it is.
    ///
    /// - Parameter original: The tensors that this config came with. When the same ones were 4-bit there,
    ///   `llm_int8_skip_modules` stays as it is.
    public func describing(_ tensors: [LogicalTensor], original: [LogicalTensor]? = nil) -> ModelConfig {
        let quantized = tensors.compactMap(\.encoding.blockQuantization)
        let described =
            quantized.isEmpty
            // A quantization that we cannot decode is passed through, and so must be what describes it.
            ? (foreignQuantization == nil ? removingQuantization() : self)
            : describingQuantization(tensors, quantized, original)
        let resized = original.map { described.describingVocabulary(tensors, original: $0) } ?? described
        guard let dtype = mainDType(tensors), resized.dtype != dtype else { return resized }
        return resized.settingDType(dtype)
    }

    private func describingQuantization(
        _ tensors: [LogicalTensor], _ quantized: [BlockQuantization], _ original: [LogicalTensor]?
    ) -> ModelConfig {
        // All weights of a checkpoint are of one kind unless somebody mixed them; bitsandbytes reads each by its own
        // quant state then, and the config names the first.
        let first = quantized[0]
        func quantizedNames(_ tensors: [LogicalTensor]) -> Set<String> {
            Set(tensors.lazy.filter { $0.encoding.blockQuantization != nil }.map(\.name))
        }
        let isSameChoice = original.map { quantizedNames($0) == quantizedNames(tensors) } ?? false
        return settingQuantization(
            first.quantType, doubleQuantization: first.doubleQuantization != nil, storage: first.storage?.dtype ?? .u8,
            skipModules: isSameChoice ? skipModules : QuantizableWeights(config: self).skipModules(for: tensors))
    }

    /// The dtype of most dense floating-point elements; without any, that of quantized weights when decoded.
    private func mainDType(_ tensors: [LogicalTensor]) -> DType? {
        var elements: [DType: Int] = [:]
        for tensor in tensors {
            guard let dtype = tensor.encoding.denseDType, [.f16, .bf16, .f32, .f64].contains(dtype) else { continue }
            elements[dtype, default: 0] += tensor.elementCount
        }
        let most = elements.max { ($0.value, $0.key.layoutRank) < ($1.value, $1.key.layoutRank) }
        return most?.key ?? tensors.lazy.compactMap(\.encoding.blockQuantization?.dtype).first
    }
}
