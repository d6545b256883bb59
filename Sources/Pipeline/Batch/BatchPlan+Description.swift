import Checkpoints
import LosslessJSON
import Reports
import SystemPackage

extension BatchPlan {
    /// The plan as JSON.
    public var json: JSONValue {
        [
            "input": .string(input),
            "adapters": .array(
                items.map { item in
                    var json: JSONValue = [
                        "path": .string(item.adapter.path), "state": .string(item.stateName),
                        "outputs": .array(item.outputPaths.map { .string($0) }),
                    ]
                    if case .unusable(let error) = item.state { json["problem"] = .string("\(error)") }
                    if let plan = item.plan { json["bytes"] = .int(plan.resources.bytesWritten.reduce(0, +)) }
                    return json
                }),
            "passes": .array(passes.map { .array($0.map { .string(items[$0].adapter.path) }) }),
            "bytes_read": .int(bytesRead),
            "bytes_written": .int(bytesWritten),
        ]
    }

    /// The plan as text: what becomes of each adapter, and what it takes.
    public func text(width: Int) -> String {
        let count = items.count { $0.plan != nil }
        var lines = ["input   \(input)"]
        lines.append(
            "takes   \(counted(passes.count, "pass", "passes")) over the input for \(counted(count, "adapter")), \(NumberText.bytes(bytesRead)) to read, \(NumberText.bytes(bytesWritten)) to write"
        )
        for (number, pass) in passes.enumerated() {
            lines += ["", "pass \(number + 1)"]
            lines += pass.map { line(items[$0]) }
        }
        let others = items.filter { $0.plan == nil }
        if !others.isEmpty { lines += ["", "not converted"] + others.map(line) }
        return lines.map { TerminalText.printableLines($0) + "\n" }.joined()
    }

    /// Bytes of input that all passes read.
    public var bytesRead: Int {
        passes.reduce(0) { $0 + ($1.first.flatMap { items[$0].plan?.resources.bytesRead } ?? 0) }
    }

    private var bytesWritten: Int {
        items.compactMap(\.plan).reduce(0) { $0 + $1.resources.bytesWritten.reduce(0, +) }
    }

    private func line(_ item: Item) -> String {
        switch item.state {
        case .ready(let plan):
            let bytes = NumberText.bytes(plan.resources.bytesWritten.reduce(0, +))
            return "  \(item.adapter.path) -> \(item.outputPaths.joined(separator: ", ")) (\(bytes))"
        case .finished:
            return "  \(item.adapter.path): unchanged since \(item.outputPaths.joined(separator: ", ")) was made"
        case .unusable(let error): return "  \(item.adapter.path): \(error)"
        }
    }
}

extension BatchPlan.Item {
    fileprivate var stateName: String {
        switch state {
        case .ready: "ready"
        case .finished: "unchanged"
        case .unusable: "unusable"
        }
    }

    /// The paths of its outputs, as the specs name them.
    fileprivate var outputPaths: [String] {
        switch state {
        case .ready(let plan): plan.model.outputs.map(\.spec.pathInSpec)
        case .finished(let record): record.figures.map(\.path)
        case .unusable: []
        }
    }
}
