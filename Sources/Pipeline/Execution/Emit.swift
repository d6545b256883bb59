import Checkpoints
import Quantization
import Reports
import Tensors

/// Writes the elements as they are to an output, and notes their figures.
struct Emit: TensorOperation {
    /// Index into the plan's outputs.
    let output: Int
    /// Index into the output's tensors.
    let tensor: Int
    let encoding: Encoding
    /// Elements of the tensor as it is written.
    let elementCount: Int
    /// Whether no operation before this one has changed anything.
    let isUntouched: Bool
    let tensorName: String
    let place: String

    var result: Encoding { encoding }

    func apply(to chunk: Chunk, facts: OperationFacts) throws {
        // A matrix that gets other rows has chunks for all that it ever has.
        let elements = chunk.range.clamped(to: 0..<elementCount)
        if !elements.isEmpty {
            try chunk.clock.during(.writing) { try write(elements, of: chunk, to: chunk.writers[output]) }
        }
        let sums = isUntouched ? [] : chunk.errorSums(of: elements.count)
        try refuseNonFinite(sums, in: chunk)
        chunk.emissions.append(
            Emission(
                output: output, tensor: tensor, sums: sums, changedCodes: chunk.isMeasured ? chunk.changedCodes : nil))
    }

    private func write(_ elements: Range<Int>, of chunk: Chunk, to writer: any CheckpointWriter) throws {
        for (part, bytes) in chunk.encoding.byteRanges(of: elements) {
            try writer.write(
                UnsafeRawBufferPointer(start: chunk.parts.memory(of: part, chunk.encoding), count: bytes.count),
                part: part,
                ofTensor: tensor, at: bytes.lowerBound)
        }
    }

    /// Stops a conversion that would make a NaN or an infinity, or hide one in a block of codes.
    private func refuseNonFinite(_ sums: [ErrorSums], in chunk: Chunk) throws(ConversionError) {
        let introduced = sums.reduce(0) { $0 + $1.nonFiniteWritten }
        let present = sums.reduce(0) { $0 + $1.nonFiniteExact }
        switch encoding {
        case .dense(let dtype) where introduced > 0:
            throw .overflow(tensor: tensorName, place: place, dtype: dtype, count: introduced, range: chunk.range)
        case .dense where present > 0:
            let stored = chunk.nonFiniteStored
            guard present > stored else { return }
            throw .updateOverflow(tensor: tensorName, place: place, count: present - stored, range: chunk.range)
        case .blockQuantized where introduced + present > 0:
            throw .notFinite(tensor: tensorName, place: place, count: introduced + present, range: chunk.range)
        default: return
        }
    }
}

/// What one chunk contributes to the report of one output.
struct Emission: Sendable {
    let output: Int
    let tensor: Int
    /// The error sums of each granule; empty when the tensor is untouched.
    let sums: [ErrorSums]
    let changedCodes: Int?
}

/// Why the data of a tensor cannot be converted as planned.
public enum ConversionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Finite results that the dtype cannot hold.
    case overflow(tensor: String, place: String, dtype: DType, count: Int, range: Range<Int>)
    /// DoRA scales an output of zeros to a length.
    case zeroNorm(tensor: String, output: Int)
    /// Updates that make finite weights infinite, or are not finite themselves.
    case updateOverflow(tensor: String, place: String, count: Int, range: Range<Int>)
    /// NaN or infinite values that would spoil whole blocks of codes.
    case notFinite(tensor: String, place: String, count: Int, range: Range<Int>)

    public var description: String {
        switch self {
        case .overflow(let tensor, let place, let dtype, let count, let range):
            "\(place): \"\(tensor)\": \(count) values among elements \(range.lowerBound) to \(range.upperBound - 1) are too large for \(dtype.rawValue) and would become infinite; use bf16 or f32"
        case .zeroNorm(let tensor, let output):
            "\"\(tensor)\": with the update output \(output) is all zeros, which DoRA's magnitude cannot scale (PEFT would write NaN); was the adapter trained on this base?"
        case .updateOverflow(let tensor, let place, let count, let range):
            "\(place): \"\(tensor)\": with the update \(count) values among elements \(range.lowerBound) to \(range.upperBound - 1) are too large for any dtype; are the adapter's factors and its \"weight\" right?"
        case .notFinite(let tensor, let place, let count, let range):
            "\(place): \"\(tensor)\": \(count) values among elements \(range.lowerBound) to \(range.upperBound - 1) are NaN or infinite and would spoil their whole blocks; repair the input, or leave the tensor dense with \"exclude\""
        }
    }
}
