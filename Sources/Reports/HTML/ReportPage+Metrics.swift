extension ReportPage.Metric {
    /// The metrics that comparisons and conversions share.
    package static let updateKept = Self(
        "update_kept", "update kept", .percent, .survival,
        "How much of the adapter's update is in the result: ⟨change, update⟩ / ⟨update, update⟩.")
    package static let codesChanged = Self(
        "codes_changed", "codes changed", .percent, .high, "The share of 4-bit codes that differ.")
    package static let updateRatio = Self(
        "update_ratio", "update / weights", .percent, .high, "The norm of the update over that of the weights.",
        isMain: false)
    package static let sqnr = Self(
        "sqnr_db", "SQNR", .decibels, .low, "Signal to quantization noise ratio: 10 · log₁₀(Σ signal² / Σ error²).",
        isMain: false)
}

extension ReportPage.Tone {
    /// How good the news is that so much of an update was kept.
    package init(updateKept: Double) {
        self =
            updateKept < UpdateSurvival.erasedBelow
            ? .bad : updateKept < UpdateSurvival.thinnedBelow ? .warning : .good
    }
}
