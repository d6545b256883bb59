import Checkpoints
import Reports
import SystemPackage

extension PipelinePlan {
    /// Writes the reports that the spec asks for beside their destinations, so that a full disk or a wrong path shows, then calls
    /// `commit`, which puts the outputs in place, and puts the reports in place after them.
    func withReports(_ report: ConversionReport, commit: () throws -> Void) throws {
        var staged: [StagedFile] = []
        func stage(_ path: FilePath?, _ text: () -> String) throws {
            if let path { staged.append(try StagedFile(text().utf8, for: path)) }
        }
        try stage(spec.report.json) { report.json.serialized(.pretty) + "\n" }
        try stage(spec.report.csv) { report.csv() }
        try stage(spec.report.html) { report.page().html() }
        try commit()
        for report in staged { try report.commit() }
    }
}
