import LosslessJSON

/// What came out of a gate.
public struct GateResult: Hashable, Sendable {
    /// A value that made the gate fail.
    public struct Failure: Hashable, Sendable {
        /// The tensor's name, or an output's; `nil` for all tensors together where there is only one output.
        public let tensor: String?
        public let value: Double
    }

    public let gate: Gate
    /// How many values were looked at.
    public let checked: Int
    /// In the order of the tensors.
    public let failures: [Failure]

    /// Whether the gate lets the result through. One that had nothing to look at does not.
    public var hasPassed: Bool { checked > 0 && failures.isEmpty }

    /// - Parameters:
    ///   - tensors: The name of each tensor and its figure, if it has one.
    ///   - overall: The figure of all tensors together; of several outputs, one each with the output's name.
    public init(
        _ gate: Gate, tensors: [(name: String, value: Double?)], overall: [(name: String?, value: Double?)]
    ) {
        self.gate = gate
        let candidates = gate.scope == .tensor ? tensors.map { (name: Optional($0.name), value: $0.value) } : overall
        let values = candidates.compactMap { candidate in
            candidate.value.map { Failure(tensor: candidate.name, value: $0) }
        }
        checked = values.count
        failures = values.filter { gate.fails($0.value) }
    }

    /// The result in a sentence or two, with the tensors that failed.
    ///
    /// - Parameter limit: The most tensors to name.
    public func text(limit: Int = 8) -> String {
        let condition = gate.sense == .failIf ? "fail if \(gate.text)" : "require \(gate.text)"
        guard checked > 0 else {
            return "gate failed: \(condition): nothing has a figure \"\(gate.figure)\", so nothing was checked"
        }
        guard !failures.isEmpty else { return "gate passed: \(condition)" }
        guard failures.contains(where: { $0.tensor != nil }) else {
            return "gate failed: \(condition): it is \(NumberText.significant(failures[0].value, digits: 4))"
        }
        let named = failures.prefix(limit).map { failure in
            "\(TerminalText.printable(failure.tensor ?? "")) (\(NumberText.significant(failure.value, digits: 4)))"
        }
        let more = failures.count > limit ? ", and \(failures.count - limit) more" : ""
        return
            "gate failed: \(condition): \(failures.count) of \(counted(checked, gate.scope == .tensor ? "tensor" : "output")): "
            + named.joined(separator: ", ") + more
    }

    /// The result as reports hold it.
    package var json: JSONValue {
        [
            "condition": .string(gate.text),
            "sense": .string(gate.sense.rawValue),
            "passed": .bool(hasPassed),
            "checked": .int(checked),
            "failed": .array(
                failures.map { failure in
                    [
                        "name": failure.tensor.map { .string($0) } ?? .null,
                        "value": .double(failure.value),
                    ]
                }),
        ]
    }
}
