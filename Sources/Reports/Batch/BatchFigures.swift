import LosslessJSON

/// The figures of one output of a batch by which adapters are compared.
public struct BatchFigures: Hashable, Sendable {
    /// The output's path, as the spec says.
    public let path: String
    public let format: String
    /// Bytes of all its files; `nil` when it was not put in place.
    public let bytes: Int?
    /// What became of the adapter.
    public let outcome: Verdict.Outcome
    /// The norm of the update over that of the weights.
    public let updateRatio: Double?
    /// ⟨change, update⟩ / ⟨update, update⟩ over all tensors with an update.
    public let updateKept: Double?
    /// The tensor that kept least.
    public let leastKept: OutputSummary.Extreme?
    /// ‖error‖ / ‖exact result‖ over all converted tensors.
    public let relativeError: Double?
    /// The share of 4-bit codes that differ from the base's.
    public let codesChanged: Double?

    /// - Parameter bytes: The size of the output's files; `nil` when they are not there.
    public init(_ output: OutputReport, bytes: Int?) {
        path = output.path
        format = output.format
        self.bytes = bytes
        outcome = output.verdict.outcome
        updateRatio = output.summary.overall.updateRatio
        updateKept = output.summary.overall.updateKept
        leastKept = output.summary.worstUpdateKept
        relativeError = output.summary.overall.relativeError
        codesChanged = output.summary.codesChangedShare
    }
}

// MARK: - JSON

extension BatchFigures {
    /// The figures under the keys of formats/batch-report.schema.json.
    public var json: JSONValue {
        .object(.init(uniqueKeysWithValues: fields.map { ($0.key, $0.value) }))
    }

    /// Keys and values in their order.
    var fields: [(key: String, value: JSONValue)] {
        [
            ("path", .string(path)), ("format", .string(format)),
            ("bytes", bytes.map { .int($0) } ?? .null),
            ("outcome", .string(outcome.rawValue)), ("update_ratio", .optional(updateRatio)),
            ("update_kept", .optional(updateKept)), ("least_kept", .optional(leastKept?.value)),
            ("least_kept_tensor", leastKept.map { .string($0.tensor) } ?? .null),
            ("relative_error", .optional(relativeError)), ("codes_changed", .optional(codesChanged)),
        ]
    }

    /// `nil` for anything but what ``json`` makes.
    public init?(_ json: JSONValue) {
        guard let path = json["path"]?.string, let format = json["format"]?.string,
            let outcome = json["outcome"]?.string.flatMap(Verdict.Outcome.init(rawValue:))
        else { return nil }
        self.path = path
        self.format = format
        bytes = json["bytes"]?.int
        self.outcome = outcome
        updateRatio = json["update_ratio"]?.double
        updateKept = json["update_kept"]?.double
        let least = (json["least_kept_tensor"]?.string, json["least_kept"]?.double)
        if case (let tensor?, let value?) = least {
            leastKept = OutputSummary.Extreme(tensor: tensor, value: value)
        } else {
            leastKept = nil
        }
        relativeError = json["relative_error"]?.double
        codesChanged = json["codes_changed"]?.double
    }
}
