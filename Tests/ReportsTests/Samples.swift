import LosslessJSON
import Quantization
import Reports
import Tensors

/// The sums over a few values, element by element as ``ErrorSums`` defines them.
func sums(base: [Double], update: [Double]? = nil, written: [Double]) -> ErrorSums {
    var sums = ErrorSums()
    for index in base.indices {
        let delta = update?[index] ?? 0
        let exact = base[index] + delta
        let value = written[index]
        sums.count += 1
        guard exact.isFinite else {
            sums.nonFiniteExact += 1
            continue
        }
        guard value.isFinite else {
            sums.nonFiniteWritten += 1
            continue
        }
        sums.squaredError += (value - exact) * (value - exact)
        sums.squaredExact += exact * exact
        sums.squaredWritten += value * value
        sums.writtenDotExact += value * exact
        sums.squaredBase += base[index] * base[index]
        sums.squaredUpdate += delta * delta
        sums.changeDotUpdate += (value - base[index]) * delta
        sums.maxAbsError = max(sums.maxAbsError, abs(value - exact))
    }
    return sums
}

enum Sample {
    static let nf4 = Encoding.blockQuantized(
        BlockQuantization(quantType: .nf4, blocksize: 64, dtype: .bf16, doubleQuantization: DoubleQuantization()))
    static let plainNF4 = Encoding.blockQuantized(BlockQuantization(quantType: .nf4, blocksize: 64, dtype: .f32))
    static let bf16 = Encoding.dense(.bf16)
    static let digest = String(repeating: "0123456789abcdef", count: 4)

    /// A tensor of a merge with given figures, as far as sums can have them: weights of standard deviation 0.02.
    static func merged(
        _ name: String, shape: [Int] = [576, 576], before: Encoding = nf4, after: Encoding = nf4, ratio: Double = 0.012,
        kept: Double, error: Double, changed: Double? = nil, rounding: TensorReport.Rounding? = nil
    ) -> TensorReport {
        let elements = shape.reduce(1, *)
        let energy = 0.0004 * Double(elements)
        var sums = ErrorSums()
        sums.count = elements
        sums.squaredBase = energy
        sums.squaredUpdate = energy * ratio * ratio
        sums.changeDotUpdate = kept * sums.squaredUpdate
        sums.squaredExact = energy * (1 + ratio * ratio)
        sums.squaredError = sums.squaredExact * error * error
        sums.squaredWritten = sums.squaredExact + sums.squaredError
        sums.writtenDotExact = sums.squaredExact
        sums.maxAbsError = 0.02 * error * 4
        return TensorReport(
            name: name, shape: shape, before: before, after: after, sums: sums,
            codesChanged: changed.map { Int($0 * Double(elements)) }, hasUpdate: true, rounding: rounding)
    }

    static func quantized(_ name: String, shape: [Int] = [576, 576], error: Double) -> TensorReport {
        let elements = shape.reduce(1, *)
        var sums = ErrorSums()
        sums.count = elements
        sums.squaredExact = 0.0004 * Double(elements)
        sums.squaredError = sums.squaredExact * error * error
        sums.squaredWritten = sums.squaredExact
        sums.writtenDotExact = sums.squaredExact * (1 - error * error / 2)
        sums.maxAbsError = 0.1
        return TensorReport(
            name: name, shape: shape, before: bf16, after: nf4, sums: sums, rounding: .nearest)
    }

    static func untouched(_ name: String, shape: [Int] = [576]) -> TensorReport {
        .untouched(LogicalTensor(name: name, shape: shape, encoding: bf16))
    }

    /// The linear layers of a small Llama with four layers, seven a layer.
    static let modules: [(name: String, shape: [Int])] = (0..<4).flatMap { layer in
        [
            ("self_attn.q_proj", [576, 576]), ("self_attn.k_proj", [192, 576]), ("self_attn.v_proj", [192, 576]),
            ("self_attn.o_proj", [576, 576]), ("mlp.gate_proj", [1536, 576]), ("mlp.up_proj", [1536, 576]),
            ("mlp.down_proj", [576, 1536]),
        ].map { ("model.layers.\(layer).\($0.0).weight", $0.1) }
    }

    static let norms: [TensorReport] =
        [untouched("model.embed_tokens.weight", shape: [49152, 576])]
        + (0..<4).flatMap { layer in
            ["input_layernorm", "post_attention_layernorm"].map { untouched("model.layers.\(layer).\($0).weight") }
        } + [untouched("model.norm.weight")]

    /// A merge where stochastic rounding kept the update of all tensors but four, large enough for nearest rounding.
    static let goodMerge = report(
        modules.enumerated().map { index, module in
            let wobble = Double(index * 37 % 28) / 28
            return index % 7 == 2
                ? merged(
                    module.name, shape: module.shape, ratio: 0.14, kept: 0.92 + 0.02 * wobble,
                    error: 0.081 + 0.004 * wobble,
                    changed: 0.35, rounding: .nearest)
                : merged(
                    module.name, shape: module.shape, ratio: 0.009 + 0.006 * wobble, kept: 0.965 + 0.03 * wobble,
                    error: 0.048 + 0.002 * wobble, changed: 0.031 + 0.02 * wobble, rounding: .stochastic)
        })

    /// A merge with nearest rounding and a small update: the error is small because nothing happened.
    static let erasedMerge = report(
        modules.enumerated().map { index, module in
            let wobble = Double(index * 37 % 28) / 28
            return merged(
                module.name, shape: module.shape, ratio: 0.009 + 0.006 * wobble, kept: 0.012 + 0.02 * wobble,
                error: 0.011 + 0.004 * wobble, changed: 0.0006 + 0.0006 * wobble, rounding: .nearest)
        })

    static func report(_ tensors: [TensorReport]) -> ConversionReport {
        ConversionReport(
            toolVersion: "0.1.0",
            spec: [
                "input": "base-nf4", "steps": [["op": "merge-in-4bit", "seed": 0]], "output": ["path": "out/merged"],
            ],
            inputs: [
                InputFingerprint(
                    path: "base-nf4/model.safetensors", size: 73_212_345, headerSHA256: digest, sha256: digest),
                InputFingerprint(
                    path: "adapters/checkpoint-200/adapter_model.safetensors", size: 9, headerSHA256: digest),
            ],
            adapters: [AdapterReport(path: "adapters/checkpoint-200", weight: 1, modulesMatched: 28)],
            outputs: [OutputReport(path: "out/merged", format: "bitsandbytes", tensors: norms + tensors)],
            run: RunFacts(seconds: 0.312, peakMemoryBytes: 61_100_000, threads: 2))
    }
}
