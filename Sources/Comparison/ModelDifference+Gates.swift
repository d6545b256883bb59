import Reports

extension ModelDifference {
    /// The figures that all tensors together have, for gates.
    private static let overallFigures: [(key: String, value: @Sendable (ModelDifference) -> Double?)] = [
        ("missing", { Double($0.summary.count(.onlyInA)) }),
        ("extra", { Double($0.summary.count(.onlyInB)) }),
        ("shapes_differ", { Double($0.summary.count(.shapesDiffer)) }),
        ("not_comparable", { Double($0.summary.count(.notComparable)) }),
        ("different", { Double($0.summary.count(.different) - $0.summary.tolerated) }),
        ("stored_differently", { Double($0.summary.storedDifferently) }),
        ("config_changes", { Double($0.configurationChanges.count { !$0.isAboutStorage }) }),
        ("adapters_differ", { Double($0.containedAdapters.count { $0.outcome != .identical }) }),
        ("nonfinite_mismatches", { Double($0.summary.counts.nonFiniteMismatches) }),
        ("relative_error", { $0.summary.overall.relativeError }),
        ("rmse", { $0.summary.overall.rmse }),
        ("max_abs_error", { $0.summary.overall.maxAbsError }),
        ("sqnr_db", { $0.summary.overall.sqnrDecibels }),
        ("codes_changed", { $0.summary.codesChangedShare }),
        ("scales_changed", { $0.summary.scalesChangedShare }),
        ("update_ratio", { $0.summary.overall.updateRatio }),
        ("update_kept", { $0.summary.overall.updateKept }),
        ("merge_error", { $0.summary.mergeError }),
    ]

    /// Reads a gate on a comparison.
    ///
    /// - Parameter hasAdapter: Whether there are figures about an update.
    /// - Throws: ``Reports/GateError``.
    public static func gate(
        parsing text: String, sense: Gate.Sense, hasAdapter: Bool
    ) throws(GateError) -> Gate {
        let gate = try Gate(
            parsing: text, sense: sense, tensorFigures: TensorDifference.figures.map(\.key),
            overallFigures: overallFigures.map(\.key))
        if !hasAdapter, TensorDifference.updateFigures.contains(gate.figure) {
            throw GateError(text: text, problem: "needs the adapter whose update should be kept: give --adapter")
        }
        return gate
    }

    /// What comes out of a gate.
    public func result(of gate: Gate) -> GateResult {
        GateResult(
            gate, tensors: tensors.map { ($0.name, $0.gatedFigure(gate.figure)) },
            overall: [(nil, ModelDifference.overallFigures.first { $0.key == gate.figure }?.value(self))])
    }
}
