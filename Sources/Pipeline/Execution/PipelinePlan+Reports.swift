import Checkpoints
import Reports
import SystemPackage

extension PipelinePlan {
    /// Writes the reports that the spec asks for, each beside its destination first and then in place.
    public func writeReports(_ report: ConversionReport) throws {
        if let path = spec.report.json {
            try StagedFile.write((report.json.serialized(.pretty) + "\n").utf8, to: path)
        }
        if let path = spec.report.csv {
            try StagedFile.write(report.csv().utf8, to: path)
        }
        if let path = spec.report.html {
            try StagedFile.write(report.page().html().utf8, to: path)
        }
    }
}
