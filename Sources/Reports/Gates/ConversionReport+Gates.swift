extension ConversionReport {
    /// The figures of a converted tensor that gates can look at, under the keys of its row.
    private static let tensorFigures: [(key: String, value: @Sendable (TensorReport) -> Double?)] = [
        ("relative_error", { $0.figures.relativeError }),
        ("rmse", { $0.figures.rmse }),
        ("max_abs_error", { $0.figures.maxAbsError }),
        ("cosine", { $0.figures.cosine }),
        ("sqnr_db", { $0.figures.sqnrDecibels }),
        ("codes_changed", { $0.codesChangedShare }),
        ("update_ratio", { $0.figures.updateRatio }),
        ("update_kept", { $0.figures.updateKept }),
    ]

    /// The figures of an output, and its counts.
    private static let overallFigures: [(key: String, value: @Sendable (OutputSummary) -> Double?)] = [
        ("nonfinite_exact", { Double($0.nonFiniteExact) }),
        ("nonfinite_written", { Double($0.nonFiniteWritten) }),
        ("relative_error", { $0.overall.relativeError }),
        ("rmse", { $0.overall.rmse }),
        ("max_abs_error", { $0.overall.maxAbsError }),
        ("cosine", { $0.overall.cosine }),
        ("sqnr_db", { $0.overall.sqnrDecibels }),
        ("codes_changed", { $0.codesChangedShare }),
        ("update_ratio", { $0.overall.updateRatio }),
        ("update_kept", { $0.overall.updateKept }),
    ]

    /// The figures that only a merged adapter brings.
    public static let updateFigures: Set<String> = ["update_ratio", "update_kept"]

    /// Reads a gate on a conversion.
    ///
    /// - Throws: ``GateError``.
    public static func gate(parsing text: String, sense: Gate.Sense) throws(GateError) -> Gate {
        try Gate(
            parsing: text, sense: sense, tensorFigures: tensorFigures.map(\.key),
            overallFigures: overallFigures.map(\.key))
    }

    /// What comes out of a gate: over the tensors of all outputs.
    public func result(of gate: Gate) -> GateResult {
        let several = outputs.count > 1
        let ofTensor = ConversionReport.tensorFigures.first { $0.key == gate.figure }?.value
        let ofOutput = ConversionReport.overallFigures.first { $0.key == gate.figure }?.value
        return GateResult(
            gate,
            tensors: outputs.flatMap { output in
                output.tensors.map { tensor in
                    (several ? "\(output.path): \(tensor.name)" : tensor.name, ofTensor?(tensor))
                }
            },
            overall: outputs.map { (several ? $0.path : nil, ofOutput?($0.summary)) })
    }
}
