import LosslessJSON
import Reports
import Tensors

extension TensorDifference {
    /// The figures of a tensor that are numbers, under the keys of the pipeline report where they mean the same, with what
    /// they are. Gates, columns and rows all come from this list; formats/diff.md says what each one means.
    static let figures: [(key: String, value: @Sendable (TensorDifference) -> Double?)] = [
        ("relative_error", { $0.figures.relativeError }),
        ("rmse", { $0.figures.rmse }),
        ("max_abs_error", { $0.figures.maxAbsError }),
        ("p50", { $0.outcome == .identical ? 0 : $0.distribution?.median }),
        ("p95", { $0.outcome == .identical ? 0 : $0.distribution?.percentile95 }),
        ("p99_9", { $0.outcome == .identical ? 0 : $0.distribution?.percentile999 }),
        ("cosine", { $0.figures.cosine }),
        ("sqnr_db", { $0.figures.sqnrDecibels }),
        ("changed", { $0.changedShare }),
        ("codes_changed", { $0.codesChangedShare }),
        ("scales_changed", { $0.scalesChangedShare }),
        ("nan_before", { $0.counts.map { Double($0.nanA) } }),
        ("infinite_before", { $0.counts.map { Double($0.infiniteA) } }),
        ("nan_after", { $0.counts.map { Double($0.nanB) } }),
        ("infinite_after", { $0.counts.map { Double($0.infiniteB) } }),
        ("update_ratio", { $0.update?.figures.updateRatio }),
        ("update_to_step", { $0.update?.updateToStep }),
        ("update_kept", { $0.update?.figures.updateKept }),
        ("merge_error", { $0.update?.figures.relativeError }),
    ]

    /// A figure by its key; `nil` when the tensor does not have it.
    func figure(_ key: String) -> Double? {
        TensorDifference.figures.first { $0.key == key }?.value(self)
    }

    /// A figure as gates see it: a relative error of what was zero everywhere and no longer is counts as infinite, although
    /// there is no number for it. A limit for errors must not let the largest pass.
    func gatedFigure(_ key: String) -> Double? {
        key == "relative_error" ? figures.relativeError ?? sums?.boundlessError : figure(key)
    }

    /// The figures that an adapter brings.
    static let updateFigures: Set<String> = ["update_ratio", "update_to_step", "update_kept", "merge_error"]

    /// The tensor's row as it stands in JSON and in CSV. What has no meaning for a tensor is `null`, so that every row has
    /// the same keys.
    var fields: [(key: String, value: JSONValue)] {
        let counts: Set<String> = ["nan_before", "infinite_before", "nan_after", "infinite_after"]
        let figures = TensorDifference.figures.map { key, value -> (key: String, value: JSONValue) in
            guard counts.contains(key) else { return (key, .optional(value(self))) }
            return (key, value(self).map { .int(Int($0)) } ?? .null)
        }
        return [
            ("name", .string(name)),
            ("name_before", a.map { $0.name == name ? .null : .string($0.name) } ?? .null),
            ("name_after", b.map { $0.name == name ? .null : .string($0.name) } ?? .null),
            ("status", .string(outcome.rawValue)),
            ("tolerated", .bool(isTolerated)),
            ("shape_before", TensorDifference.shape(a)),
            ("shape_after", TensorDifference.shape(b)),
            ("elements", .int(elements)),
        ] + TensorDifference.storage(a, "before") + TensorDifference.storage(b, "after") + figures + [
            ("survival", update.map { .string($0.outcome.rawValue) } ?? .null)
        ]
    }

    private static func shape(_ tensor: LogicalTensor?) -> JSONValue {
        tensor.map { .array($0.shape.map { .int($0) }) } ?? .null
    }

    private static func storage(_ tensor: LogicalTensor?, _ when: String) -> [(key: String, value: JSONValue)] {
        [
            ("encoding_\(when)", tensor.map { .string($0.encoding.label) } ?? .null),
            ("blocksize_\(when)", tensor?.encoding.blockQuantization.map { .int($0.blocksize) } ?? .null),
            ("dtype_\(when)", tensor.map { .string($0.encoding.valueDTypeName) } ?? .null),
            ("bytes_\(when)", tensor.map { .int($0.parts.reduce(0) { $0 + $1.byteCount }) } ?? .null),
        ]
    }
}

extension MagnitudeDistribution {
    /// `{"zeros": 120, "first_exponent": -14, "counts": [3, 17]}`
    var json: JSONValue {
        [
            "zeros": .int(zeros), "first_exponent": .int(firstExponent),
            "counts": .array(octaves.map { .int($0) }),
        ]
    }
}
