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
    /// Whether no operation before this one has changed anything.
    let isUntouched: Bool
    /// Whether an operation before this one has merged an adapter's change.
    let isMerged: Bool
    let tensorName: String
    let place: String

    var result: Encoding { encoding }

    func apply(to chunk: Chunk, facts: OperationFacts) throws {
        if !chunk.present.isEmpty {
            try chunk.clock.during(.writing) { try write(chunk, to: chunk.writers[output]) }
        }
        let sums = isUntouched ? [] : chunk.errorSums()
        try refuseNonFinite(sums, in: chunk)
        chunk.emissions.append(
            Emission(
                output: output, tensor: tensor, sums: sums, changedCodes: chunk.isMeasured ? chunk.changedCodes : nil))
    }

    private func write(_ chunk: Chunk, to writer: any CheckpointWriter) throws {
        for (part, bytes) in chunk.encoding.byteRanges(of: chunk.present) {
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
            throw .overflow(
                tensor: tensorName, place: place, dtype: dtype, count: introduced, range: chunk.range,
                isMerged: isMerged)
        case .dense(let dtype) where present > 0:
            // What is no number in the input may stay so.
            let stored = chunk.nonFiniteStored
            guard present > stored else { return }
            throw .overflow(
                tensor: tensorName, place: place, dtype: dtype, count: present - stored, range: chunk.range,
                isMerged: isMerged)
        case .blockQuantized where introduced + present > 0:
            throw .notFinite(tensor: tensorName, place: place, range: chunk.range, isMerged: isMerged)
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
    /// Results that are NaN or infinite in the dtype, and are not in real arithmetic; `isMerged` when an adapter's change is
    /// a part of them.
    case overflow(tensor: String, place: String, dtype: DType, count: Int, range: Range<Int>, isMerged: Bool)
    /// DoRA scales an output of zeros to a length.
    case zeroNorm(tensor: String, output: Int)
    /// NaN or infinite values that would spoil whole blocks of codes; `isMerged` when an adapter's change is a part of them.
    case notFinite(tensor: String, place: String, range: Range<Int>, isMerged: Bool)

    public var description: String {
        switch self {
        case .overflow(let tensor, let place, let dtype, let count, let range, let isMerged):
            """
            \(place): "\(tensor)": \(count) values among elements \(range.lowerBound) to \(range.upperBound - 1) would become \
            NaN or infinite in \(dtype.rawValue); \(ConversionError.wayOut(of: dtype, isMerged: isMerged))
            """
        case .zeroNorm(let tensor, let output):
            "\"\(tensor)\": with the update output \(output) is all zeros, which DoRA's magnitude cannot scale (PEFT would write NaN); was the adapter trained on this base?"
        case .notFinite(let tensor, let place, let range, let isMerged):
            """
            \(place): "\(tensor)": a NaN or an infinity among elements \(range.lowerBound) to \(range.upperBound - 1) would \
            spoil whole blocks of codes; \(ConversionError.wayOutOfNaN(isMerged: isMerged))
            """
        }
    }

    private static func wayOutOfNaN(isMerged: Bool) -> String {
        isMerged
            ? "the base is damaged there, or the update is too large: give the adapter a smaller \"weight\", or take another one"
            : "repair the input, or leave the tensor as it is with \"exclude\""
    }

    /// What to do about values that a dtype cannot hold.
    private static func wayOut(of dtype: DType, isMerged: Bool) -> String {
        switch dtype {
        case .f16: isMerged ? "use bf16 or f32, or give the adapter a smaller \"weight\"" : "use bf16 or f32"
        default: wayOutOfNaN(isMerged: isMerged)
        }
    }
}
