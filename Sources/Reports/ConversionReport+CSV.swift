import LosslessJSON

extension ConversionReport {
    /// One row a tensor under the keys of the JSON report, as RFC 4180 says: lines end with CR LF, fields with a comma,
    /// a quote or a line break stand in quotes.
    ///
    /// Several outputs are told apart by a first column `output` with the output's path. A field without a value is
    /// empty; a shape is written `576x1536` (empty for a scalar), notes are joined by `; `.
    public func csv() -> String {
        let several = outputs.count > 1
        // The keys are those of any row: an empty report has a header too.
        let keys = TensorReport.untouched(.init(name: "", shape: [], encoding: .dense(.u8))).fields.map(\.key)
        var text = CSVText.line((several ? ["output"] : []) + keys)
        for output in outputs {
            for tensor in output.tensors {
                let row = tensor.fields.map { CSVText.field($0.value) }
                text += CSVText.line((several ? [output.path] : []) + row)
            }
        }
        return text
    }
}
