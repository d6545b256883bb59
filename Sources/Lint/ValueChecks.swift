import Checkpoints
import Quantization
import Synchronization
import Tensors
import Workers

/// Looks for values that no training leaves behind: NaN, infinities, factors of zeros.
struct ValueChecks {
    private static let pieceElements = 1 << 16

    let weights: any CheckpointReader

    /// - Throws: What reading throws.
    func findings(threads: Int) throws -> [LintFinding] {
        let next = Atomic(0)
        let found = Mutex<[Int: LintFinding]>([:])
        let failure = Mutex<(any Error)?>(nil)
        runOnThreads(threads) { _ in
            let buffer = UnsafeMutablePointer<Float>.allocate(capacity: ValueChecks.pieceElements)
            defer { buffer.deallocate() }
            while failure.withLock({ $0 == nil }) {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < weights.tensors.count else { return }
                do {
                    let finding = try finding(index, buffer)
                    found.withLock { $0[index] = finding }
                } catch {
                    failure.withLock { $0 = $0 ?? error }
                }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
        return found.withLock { found in found.sorted { $0.key < $1.key }.map(\.value) }
    }

    private func finding(_ index: Int, _ values: UnsafeMutablePointer<Float>) throws -> LintFinding? {
        let tensor = weights.tensors[index]
        guard case .dense(let dtype) = tensor.encoding, FloatConversion.canDecode(dtype) else { return nil }
        let bytes = UnsafeMutableRawBufferPointer.allocate(
            byteCount: ValueChecks.pieceElements * dtype.bits / 8, alignment: 64)
        defer { bytes.deallocate() }
        var isZero = true
        for start in stride(from: 0, to: tensor.elementCount, by: ValueChecks.pieceElements) {
            let count = min(ValueChecks.pieceElements, tensor.elementCount - start)
            guard let base = bytes.baseAddress else { continue }
            let piece = UnsafeMutableRawBufferPointer(rebasing: bytes[..<(count * dtype.bits / 8)])
            try weights.read(.values, ofTensor: index, at: start * dtype.bits / 8, into: piece)
            FloatConversion.decode(dtype, base, count: count, into: values)
            for offset in 0..<count where values[offset] != 0 {
                isZero = false
                guard !values[offset].isFinite else { continue }
                return LintFinding(
                    .notFinite, tensor.name,
                    "element \(start + offset) is NaN or infinite; the training run diverged, use an earlier checkpoint"
                )
            }
        }
        guard isZero, tensor.elementCount > 0 else { return nil }
        let isUpper = tensor.name.contains("lora_B.weight") || tensor.name.hasSuffix("lora_embedding_B")
        return isUpper
            ? LintFinding(.neverTrained, tensor.name, "is all zeros, as before training: the module adds nothing")
            : LintFinding(.zeroFactor, tensor.name, "is all zeros")
    }
}
