import LosslessJSON
import Tensors

extension TensorReport {
    /// The tensor's row, key by key, as it stands in JSON and in CSV: scalars, but for `shape` and `notes`. What has no
    /// meaning for a tensor is `null`, so that every row has the same keys. formats/report.md says what each one means.
    var fields: KeyValuePairs<String, JSONValue> {
        [
            "name": .string(name),
            "status": isUntouched ? "untouched" : "converted",
            "shape": .array(shape.map { .int($0) }),
            "elements": .int(elements),
            "encoding_before": .string(before.label),
            "blocksize_before": before.blockQuantization.map { .int($0.blocksize) } ?? .null,
            "dtype_before": .string(before.valueDTypeName),
            "encoding_after": .string(after.label),
            "blocksize_after": after.blockQuantization.map { .int($0.blocksize) } ?? .null,
            "dtype_after": .string(after.valueDTypeName),
            "bytes_before": .int(bytesBefore),
            "bytes_after": .int(bytesAfter),
            "relative_error": .optional(figures.relativeError),
            "rmse": .optional(figures.rmse),
            "max_abs_error": .optional(figures.maxAbsError),
            "cosine": .optional(figures.cosine),
            "sqnr_db": .optional(figures.sqnrDecibels),
            "codes_changed": .optional(codesChangedShare),
            "update_ratio": .optional(figures.updateRatio),
            "update_kept": .optional(figures.updateKept),
            "rounding": rounding.map { .string($0.rawValue) } ?? .null,
            "nonfinite_exact": sums.map { .int($0.nonFiniteExact) } ?? .null,
            "nonfinite_written": sums.map { .int($0.nonFiniteWritten) } ?? .null,
            "notes": .array(notes.map { .string($0) }),
        ]
    }
}

extension Encoding {
    /// The dtype of the values a reader gets: the dense dtype, or what 4-bit values are decoded to. Under torch's name
    /// where it has one.
    package var valueDTypeName: String {
        let dtype =
            switch self {
            case .dense(let dtype): dtype
            case .blockQuantized(let quantization): quantization.dtype
            }
        return dtype.torchName ?? dtype.rawValue
    }
}

extension JSONValue {
    /// A double, or `null` for what is not there or not finite.
    package static func optional(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
}
