extension ReportPage {
    /// `base-nf4 → merged`: what was made of what, or compared with what, without the folders that both are in.
    package static func title(from first: String, to second: String) -> String {
        let paths = [first, second].map { $0.split(separator: "/").map(String.init) }
        let longest = paths.map(\.count).max() ?? 0
        for length in 1...max(1, longest) {
            let tails = paths.map { $0.suffix(length).joined(separator: "/") }
            if tails[0] != tails[1] { return "\(tails[0]) → \(tails[1])" }
        }
        return "\(first) → \(second)"
    }

    /// The last name in a path.
    package static func lastName(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    /// `qconv 0.1, 0.31 s, 2 threads, peak memory 58.3 MiB`
    package static func footer(version: String, run: RunFacts?) -> String {
        var facts = ["qconv \(version)"]
        if let run {
            facts.append(NumberText.duration(seconds: run.seconds))
            facts.append(counted(run.threads, "thread"))
            if let peak = run.peakMemoryBytes { facts.append("peak memory \(NumberText.memory(peak))") }
        }
        return facts.joined(separator: ", ")
    }
}
