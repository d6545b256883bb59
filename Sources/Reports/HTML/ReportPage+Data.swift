import LosslessJSON

extension ReportPage {
    /// What the page's script works on.
    var data: JSONValue {
        [
            "thinnedBelow": .double(UpdateSurvival.thinnedBelow),
            "erasedBelow": .double(UpdateSurvival.erasedBelow),
            "sectionNoun": .string(sectionNoun),
            "sections": .array(sections.map(\.json)),
        ]
    }
}

extension ReportPage.Section {
    fileprivate var json: JSONValue {
        // A metric that neither a tensor nor all of them have is not offered.
        let shown = metrics.indices.filter { index in
            overall[index] != nil || rows.contains { $0.values[index] != nil }
        }
        return [
            "name": .string(name),
            "tone": .string(tone.rawValue),
            "label": .string(label),
            "verdict": .array(verdict.map { .string($0) }),
            "facts": .array(
                facts.map { ["label": .string($0.label), "value": .string($0.value), "note": .string($0.note)] }),
            "metrics": .array(shown.map { metrics[$0].json }),
            "overall": .array(shown.map { .optional(overall[$0]) }),
            "rows": .array(rows.map { $0.json(metrics: shown) }),
        ]
    }
}

extension ReportPage.Metric {
    fileprivate var json: JSONValue {
        [
            "key": .string(key), "label": .string(label), "unit": .string(unit.rawValue),
            "concern": .string(concern.rawValue), "note": .string(note), "isMain": .bool(isMain),
        ]
    }
}

extension ReportPage.Row {
    fileprivate func json(metrics: [Int]) -> JSONValue {
        var row: JSONValue = [
            "name": .string(name), "status": .string(status), "storage": .string(storage), "shape": .string(shape),
            "values": .array(metrics.map { .optional(values[$0]) }),
        ]
        if let distribution {
            row["histogram"] = [
                "zeros": .int(distribution.zeros), "first": .int(distribution.firstExponent),
                "counts": .array(distribution.octaves.map { .int($0) }),
            ]
        }
        if let updateWeight { row["updateWeight"] = .double(updateWeight) }
        return row
    }
}
