import Checkpoints
import Reports

extension BatchReportSpec {
    /// Writes the reports that the spec asks for, each beside its destination first and then in place.
    public func write(_ report: BatchReport) throws {
        if let json { try StagedFile.write((report.json.serialized(.pretty) + "\n").utf8, to: json) }
        if let csv { try StagedFile.write(report.csv().utf8, to: csv) }
        if let html { try StagedFile.write(report.page().html().utf8, to: html) }
    }
}
