import LosslessJSON
import Reports
import Tensors
import TestSupport
import Testing

@Suite struct FileFormatTests {
    private static let strange = TensorReport(
        name: "a \"quoted\", name", shape: [2], before: Sample.plainNF4, after: .dense(.f8e8m0),
        sums: sums(base: [0, 0], written: [0, 1]), notes: ["first; one", "second"])

    static let reports: [ConversionReport] = [
        Sample.goodMerge, Sample.erasedMerge, Sample.report([]),
        Sample.report([strange, Sample.quantized("b", error: 0), Sample.quantized("c", shape: [0], error: 0)]),
        ConversionReport(toolVersion: "0.1.0", spec: .null, inputs: [], outputs: []),
        ConversionReport(
            toolVersion: "0.1.0", spec: .null, inputs: [],
            outputs: Sample.goodMerge.outputs + Sample.erasedMerge.outputs, warnings: ["careful"],
            run: RunFacts(seconds: 1, peakMemoryBytes: nil, threads: 1)),
    ]

    @Test(arguments: reports) func reportsFollowTheSchema(report: ConversionReport) throws {
        let schema = try JSONSchema(PackageFiles.json("formats/report.schema.json"))
        for report in [report, report.withoutRun] {
            let parsed = try JSONValue(parsing: report.jsonText())
            #expect(parsed == report.json)
            #expect(schema.violations(in: parsed) == [])
        }
    }

    @Test func theSchemaIsStrict() throws {
        let schema = try JSONSchema(PackageFiles.json("formats/report.schema.json"))
        let json = Sample.goodMerge.json
        for key in json.object?.keys.elements ?? [] where key != "run" {
            var broken = json
            broken[key] = nil
            #expect(schema.violations(in: broken).count == 1, "without \(key)")
        }
        var broken = json
        broken["surprise"] = 1
        #expect(schema.violations(in: broken).map(\.pointer) == ["/surprise"])
        broken = json
        broken["run"]?["threads"] = 0
        #expect(schema.violations(in: broken).map(\.pointer) == ["/run/threads"])
    }

    @Test func everyRowHasTheFieldsOfTheSchema() throws {
        let schema = try PackageFiles.json("formats/report.schema.json")
        let properties = schema["$defs"]?["tensor"]?["properties"]?.object?.keys.elements
        let row = Sample.goodMerge.json["outputs"]?.array?.first?["tensors"]?.array?.last
        #expect(row?.object?.keys.elements == properties)
        #expect(Sample.goodMerge.csv().prefix { $0 != "\r\n" } == properties?.joined(separator: ",") ?? "")
    }

    @Test func figuresInTheFile() throws {
        let rows = try #require(Sample.report([Self.strange]).json["outputs"]?.array?.first?["tensors"]?.array)
        let row = try #require(rows.last)
        #expect(row["name"]?.string == "a \"quoted\", name")
        #expect(row["encoding_before"]?.string == "nf4")
        #expect(row["blocksize_before"]?.int == 64)
        #expect(row["dtype_before"]?.string == "float32")
        #expect(row["encoding_after"]?.string == "f8_e8m0")
        #expect(row["dtype_after"]?.string == "float8_e8m0fnu")
        #expect(row["blocksize_after"]?.isNull == true)
        #expect(row["relative_error"]?.isNull == true)
        #expect(row["rmse"]?.double == 0.5.squareRoot())
        #expect(row["status"]?.string == "converted")
        let norm = try #require(rows.first)
        #expect(norm["status"]?.string == "untouched")
        #expect(norm["relative_error"]?.double == 0)
        #expect(norm["sqnr_db"]?.isNull == true)
        #expect(norm["dtype_after"]?.string == "bfloat16")
    }

    @Test func equalReportsGiveEqualBytes() {
        for report in Self.reports {
            var other = report
            other.run = RunFacts(seconds: 99, peakMemoryBytes: 1, threads: 64)
            #expect(other.withoutRun.jsonText() == report.withoutRun.jsonText())
            #expect(other.csv() == report.csv())
            #expect(other.withoutRun.terminalText() == report.withoutRun.terminalText())
        }
    }

    @Test func commaSeparatedValues() throws {
        let report = Sample.report([Self.strange])
        let lines = report.csv().split(separator: "\r\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines.count == 1 + 11 + 1 && lines.last == "")
        let columns = lines[0].split(separator: ",").map(String.init)
        #expect(columns.first == "name" && columns.last == "notes")
        let row = lines[11]
        #expect(
            row.hasPrefix("\"a \"\"quoted\"\", name\",converted,2,2,nf4,64,float32,f8_e8m0,,float8_e8m0fnu,5,2,,0.7071")
        )
        #expect(row.hasSuffix(",first; one; second"))
        #expect(lines[1].hasPrefix("model.embed_tokens.weight,untouched,49152x576,28311552,bf16,,bfloat16,bf16,"))
        #expect(lines[1].hasSuffix(",0.0,0.0,0.0,,,,,,,,,"))
    }

    @Test func severalOutputsAreToldApart() {
        let report = ConversionReport(
            toolVersion: "0", spec: .null, inputs: [],
            outputs: ["one", "two,three"].map {
                OutputReport(path: $0, format: "safetensors", tensors: [Sample.untouched("a")])
            })
        let lines = report.csv().split(separator: "\r\n")
        #expect(lines[0].hasPrefix("output,name,"))
        #expect(lines[1].hasPrefix("one,a,"))
        #expect(lines[2].hasPrefix("\"two,three\",a,"))
    }
}
