import Foundation
import Reports

/// Pages of models that are too large, too small or too strange to have at hand.
enum SamplePages {
    /// A model of many layers, of which the later keep more of an update.
    static func large(layers: Int = 80, modules: [String] = llamaModules, prefix: String = "model.") -> ReportPage {
        var rows = ["embed_tokens", "norm"].map { row("\(prefix)\($0).weight", kept: nil, error: 0) }
        for layer in 0..<layers {
            for (index, module) in modules.enumerated() {
                let depth = Double(layer) / Double(max(1, layers - 1))
                rows.append(
                    row(
                        "\(prefix)layers.\(layer).\(module).weight", kept: 1.05 * depth - 0.02 * Double(index),
                        error: 0.04 + 0.002 * Double(layer % 7)))
            }
        }
        return page([section("out/merged", rows: rows)])
    }

    static let llamaModules = [
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
        "mlp.down_proj",
    ]

    static func page(_ sections: [ReportPage.Section], title: String = "base → merged") -> ReportPage {
        ReportPage(
            command: "qconv diff", title: title, origins: [ReportPage.Document("A", title)], sections: sections,
            notices: [title], documents: [ReportPage.Document(title, title)], footer: title)
    }

    static func section(_ name: String, rows: [ReportPage.Row], verdict: String = "Half of it is left.")
        -> ReportPage.Section
    {
        ReportPage.Section(
            name: name, tone: .warning, label: "adapter thinned", verdict: [verdict, "That is not enough."],
            facts: [ReportPage.Fact("update kept", "48 %", note: "least −8 %")], metrics: metrics,
            overall: [0.48, 0.05, 20], rows: rows)
    }

    static let metrics = [
        ReportPage.Metric.updateKept,
        ReportPage.Metric("relative_error", "relative error", .percent, .high, "The norm of the error."),
        ReportPage.Metric.sqnr,
    ]

    static func row(_ name: String, kept: Double?, error: Double) -> ReportPage.Row {
        ReportPage.Row(
            name: name, status: kept == nil ? "identical" : "different", storage: "nf4+dq",
            shape: ReportPage.Row.shape([8192, 8192]),
            values: [kept, error, error > 0 ? -20 * log10(error) : nil], distribution: nil,
            updateWeight: kept.map { _ in 1 })
    }
}
