import LosslessJSON
import Reports

extension ModelDifference {
    /// One row a tensor under the keys of the JSON report, as RFC 4180 says. A field without a value is empty; a shape is
    /// written `576x1536` (empty for a scalar). Histograms are in the JSON report only.
    public func csv() -> String {
        let keys = TensorDifference(name: "", a: nil, b: nil, outcome: .equal).fields.map(\.key)
        return tensors.reduce(into: CSVText.line(keys)) { text, tensor in
            text += CSVText.line(tensor.fields.map { CSVText.field($0.value) })
        }
    }
}
