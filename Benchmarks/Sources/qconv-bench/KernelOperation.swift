import Quantization
import Tensors

/// One operation on a whole matrix, from memory to memory.
struct KernelOperation: Sendable {
    let name: String
    let run: @Sendable (_ workspace: Workspace, _ threads: Int) -> Void

    /// The seconds that one run takes.
    func time(on workspace: Workspace, threads: Int) -> Double {
        let duration = ContinuousClock().measure { run(workspace, threads) }
        return Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
    }

    static let all = quantizations + dequantizations + merges + conversions + sums + [copy]
}

// MARK: - Quantize and dequantize

extension KernelOperation {
    private static let rules: [(name: String, rule: RoundingRule)] = [
        ("nearest", .nearest),
        ("stochastic", .stochastic(StochasticKey(seed: 0, tensorName: "model.layers.0.mlp.up_proj.weight"))),
    ]

    private static let quantizations = rules.flatMap { name, rule in
        [
            KernelOperation(name: "quantize-f32-\(name)") { workspace, threads in
                workspace.quantizedOutput.quantize(threads: threads, rounding: rule) { range, _ in
                    UnsafePointer(workspace.float32.pointer + range.lowerBound)
                }
            },
            KernelOperation(name: "quantize-bf16-\(name)") { workspace, threads in
                workspace.quantizedOutput.quantize(threads: threads, rounding: rule) { range, scratch in
                    FloatConversion.decode(
                        .bf16, workspace.bfloat16.pointer + range.lowerBound, count: range.count,
                        into: scratch.values.pointer)
                    return UnsafePointer(scratch.values.pointer)
                }
            },
        ]
    }

    private static let dequantizations = [
        KernelOperation(name: "dequantize-bf16") { workspace, threads in
            forEachChunk(of: workspace.count, threads: threads) { range, scratch in
                workspace.nf4.dequantize(range, into: scratch.values.pointer)
                FloatConversion.encode(
                    scratch.values.pointer, count: range.count, as: .bf16,
                    into: UnsafeMutableRawPointer(workspace.output.pointer) + range.lowerBound * 2)
            }
        },
        KernelOperation(name: "dequantize-f32") { workspace, threads in
            forEachChunk(of: workspace.count, threads: threads) { range, _ in
                workspace.nf4.dequantize(range, into: workspace.output.pointer + range.lowerBound)
            }
        },
    ]
}

// MARK: - Merge

extension KernelOperation {
    private static let merges = [16, 64].flatMap { rank in
        [mergeWithFreshScales(rank: rank)]
            + rules.map { mergeOnBaseScales(rank: rank, name: $0.name, rule: $0.rule) }
            + [dequantizeMerge(rank: rank), update(rank: rank)]
    }

    /// What PEFT does: decode, round to bfloat16, add the update, quantize with scales of its own.
    private static func mergeWithFreshScales(rank: Int) -> KernelOperation {
        KernelOperation(name: "merge-rank-\(rank)-nearest-fresh") { workspace, threads in
            guard let update = workspace.updates[rank] else { return }
            workspace.quantizedOutput.quantize(threads: threads) { range, scratch in
                workspace.nf4.dequantize(range, into: scratch.values.pointer)
                FloatConversion.round(scratch.values.pointer, count: range.count, to: .bf16)
                update.compute(range, accumulate: true, into: scratch.values.pointer)
                return UnsafePointer(scratch.values.pointer)
            }
        }
    }

    /// Codes move by the update, and the scales stay.
    private static func mergeOnBaseScales(rank: Int, name: String, rule: RoundingRule) -> KernelOperation {
        KernelOperation(name: "merge-rank-\(rank)-\(name)-base") { workspace, threads in
            guard let update = workspace.updates[rank] else { return }
            let (base, output) = (workspace.nf4, workspace.quantizedOutput)
            forEachChunk(of: workspace.count, threads: threads) { range, scratch in
                update.compute(range, accumulate: false, into: scratch.update.pointer)
                let first = range.lowerBound / Workspace.blocksize
                let blocks = first..<first + (range.count + Workspace.blocksize - 1) / Workspace.blocksize
                base.decodeScales(blocks, into: scratch.values.pointer)
                BlockQuantizer.requantize(
                    baseCodes: base.codes.pointer + range.lowerBound / 2, absmax: scratch.values.pointer,
                    update: scratch.update.pointer, count: range.count, blocksize: Workspace.blocksize,
                    quantType: Workspace.quantType, rounding: rule, firstIndex: UInt64(range.lowerBound),
                    into: output.codes.pointer + range.lowerBound / 2)
            }
        }
    }

    private static func dequantizeMerge(rank: Int) -> KernelOperation {
        KernelOperation(name: "dequantize-merge-rank-\(rank)-bf16") { workspace, threads in
            guard let update = workspace.updates[rank] else { return }
            forEachChunk(of: workspace.count, threads: threads) { range, scratch in
                workspace.nf4.dequantize(range, into: scratch.values.pointer)
                FloatConversion.round(scratch.values.pointer, count: range.count, to: .bf16)
                update.compute(range, accumulate: true, into: scratch.values.pointer)
                FloatConversion.encode(
                    scratch.values.pointer, count: range.count, as: .bf16,
                    into: UnsafeMutableRawPointer(workspace.output.pointer) + range.lowerBound * 2)
            }
        }
    }

    private static func update(rank: Int) -> KernelOperation {
        KernelOperation(name: "update-rank-\(rank)") { workspace, threads in
            guard let update = workspace.updates[rank] else { return }
            forEachChunk(of: workspace.count, threads: threads) { range, scratch in
                update.compute(range, accumulate: false, into: scratch.update.pointer)
            }
        }
    }
}

// MARK: - Conversions and sums

extension KernelOperation {
    private static func decode<Element>(
        _ name: String, _ dtype: DType, _ source: KeyPath<Workspace, Buffer<Element>> & Sendable
    ) -> KernelOperation {
        KernelOperation(name: name) { workspace, threads in
            let buffer = workspace[keyPath: source]
            forEachChunk(of: workspace.count, threads: threads) { range, _ in
                FloatConversion.decode(
                    dtype, buffer.pointer + range.lowerBound, count: range.count,
                    into: workspace.output.pointer + range.lowerBound)
            }
        }
    }

    private static func encode(_ name: String, _ dtype: DType) -> KernelOperation {
        let bytes = dtype.bits / 8
        return KernelOperation(name: name) { workspace, threads in
            forEachChunk(of: workspace.count, threads: threads) { range, _ in
                FloatConversion.encode(
                    workspace.float32.pointer + range.lowerBound, count: range.count, as: dtype,
                    into: UnsafeMutableRawPointer(workspace.output.pointer) + range.lowerBound * bytes)
            }
        }
    }

    private static let conversions = [
        decode("bf16-to-f32", .bf16, \.bfloat16), decode("f16-to-f32", .f16, \.float16),
        decode("f8e4m3-to-f32", .f8e4m3, \.float8), encode("f32-to-bf16", .bf16), encode("f32-to-f16", .f16),
        encode("f32-to-f8e4m3", .f8e4m3),
        KernelOperation(name: "bf16-to-f16") { workspace, threads in
            forEachChunk(of: workspace.count, threads: threads) { range, scratch in
                FloatConversion.decode(
                    .bf16, workspace.bfloat16.pointer + range.lowerBound, count: range.count,
                    into: scratch.values.pointer)
                FloatConversion.encode(
                    scratch.values.pointer, count: range.count, as: .f16,
                    into: UnsafeMutableRawPointer(workspace.output.pointer) + range.lowerBound * 2)
            }
        },
    ]

    private static let sums = [
        KernelOperation(name: "error-sums") { workspace, threads in
            forEachChunk(of: workspace.count, threads: threads) { range, scratch in
                workspace.nf4.dequantize(range, into: scratch.values.pointer)
                let sums = ErrorSums(
                    base: workspace.float32.pointer + range.lowerBound, update: nil, written: scratch.values.pointer,
                    count: range.count)
                precondition(sums.squaredError >= 0)
            }
        },
        KernelOperation(name: "error-sums-with-update") { workspace, threads in
            forEachChunk(of: workspace.count, threads: threads) { range, scratch in
                workspace.nf4.dequantize(range, into: scratch.values.pointer)
                let values = workspace.float32.pointer + range.lowerBound
                let sums = ErrorSums(base: values, update: values, written: scratch.values.pointer, count: range.count)
                precondition(sums.squaredError >= 0)
            }
        },
    ]

    /// The limit of everything that reads and writes float32.
    private static let copy = KernelOperation(name: "copy-f32") { workspace, threads in
        forEachChunk(of: workspace.count, threads: threads) { range, _ in
            (workspace.output.pointer + range.lowerBound).update(
                from: workspace.float32.pointer + range.lowerBound, count: range.count)
        }
    }
}
