import ArgumentParser

struct KernelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels", abstract: "Times every operation on one matrix in memory.")

    @Option(help: "Rows of the matrix.")
    var rows = 4096

    @Option(help: "Columns of the matrix.")
    var columns = 11008

    @Option(help: "How often each operation is timed.")
    var runs = 7

    @Option(help: "Only operations whose name contains this.")
    var filter: String?

    @Flag(help: "Read \"<operation> <threads>\" lines and answer each with the seconds that one run took.")
    var serve = false

    func run() throws {
        let workspace = Workspace(rows: rows, columns: columns)
        let operations = KernelOperation.all
        if serve {
            answerRequests(operations, on: workspace)
        } else {
            printTable(operations.filter { filter.map($0.name.contains) ?? true }, on: workspace)
        }
    }

    private func printTable(_ operations: [KernelOperation], on workspace: Workspace) {
        print("\(rows) x \(columns), G elements/s, median of \(runs)")
        print("operation".padded(to: 42), "1 thread".padded(to: 10), "2 threads".padded(to: 10), "speedup")
        for operation in operations {
            let rates = [1, 2].map { threads in
                let seconds = (0...runs).map { _ in operation.time(on: workspace, threads: threads) }.dropFirst()
                    .sorted()
                return Double(workspace.count) / seconds[seconds.count / 2] * 1e-9
            }
            let cells = rates + [rates[1] / rates[0]]
            print(
                operation.name.padded(to: 42),
                cells.map { $0.rounded(toPlaces: 2).padded(to: 10) }.joined(separator: " "))
        }
    }

    private func answerRequests(_ operations: [KernelOperation], on workspace: Workspace) {
        while let line = readLine() {
            let words = line.split(separator: " ")
            guard words.count == 2, let threads = Int(words[1]), threads > 0,
                let operation = operations.first(where: { $0.name == words[0] })
            else {
                printNow("error: no operation \"\(line)\"")
                continue
            }
            printNow("\(operation.time(on: workspace, threads: threads))")
        }
    }
}

extension String {
    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}

extension Double {
    fileprivate func rounded(toPlaces places: Int) -> String {
        let scale = places == 2 ? 100.0 : 1000.0
        return "\((self * scale).rounded() / scale)"
    }
}
