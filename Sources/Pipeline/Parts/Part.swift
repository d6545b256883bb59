/// One of several processes that share a conversion, on machines that see the same files.
public struct Part: Hashable, Sendable {
    /// From 1 on.
    public let number: Int
    public let count: Int

    /// - Precondition: `number` is from 1 to `count`.
    init(number: Int, count: Int) {
        precondition((1...count).contains(number), "no such part")
        self.number = number
        self.count = count
    }

    /// Reads `I/N`, or `auto`: what the scheduler's environment tells.
    ///
    /// - Throws: ``PlanError`` when it is neither, or the environment tells nothing that can be relied on.
    public init(parsing text: String, environment: [String: String]) throws(PlanError) {
        guard text != "auto" else {
            self = try Part.fromEnvironment(environment)
            return
        }
        let numbers = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
        guard numbers.count == 2, let number = numbers[0], let count = numbers[1], count >= 1,
            (1...count).contains(number)
        else {
            throw PlanError(
                place: "--part", problem: "\"\(text)\" is no part", remedy: "write 2/3 for the second of three, or auto"
            )
        }
        self.init(number: number, count: count)
    }

    /// The environment variable that says how many parts there are where the scheduler does not.
    static let countVariable = "QCONV_PARTS"

    /// The environment variables that ``init(parsing:environment:)`` looks at.
    public static let environmentVariables = [
        countVariable, "JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE",
        "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP", "SLURM_ARRAY_TASK_COUNT",
    ]

    private static func fromEnvironment(_ environment: [String: String]) throws(PlanError) -> Part {
        let stated = try integer(countVariable, environment)
        if let index = try integer("JOB_COMPLETION_INDEX", environment) {
            guard let count = stated else {
                throw PlanError(
                    place: "--part", problem: "a Kubernetes job does not tell its pods how many completions it has",
                    remedy: "set \(countVariable) to the job's completions, or write --part I/N")
            }
            return try part(index: index, count: count, "JOB_COMPLETION_INDEX")
        }
        if let index = try integer("AWS_BATCH_JOB_ARRAY_INDEX", environment) {
            let size = try integer("AWS_BATCH_JOB_ARRAY_SIZE", environment)
            return try part(index: index, count: stated ?? size, "AWS_BATCH_JOB_ARRAY_INDEX")
        }
        if let id = try integer("SLURM_ARRAY_TASK_ID", environment) {
            // A task that is submitted again alone is an array of one: with a stated count, tasks are numbered from 1.
            if let stated { return try part(index: id - 1, count: stated, "SLURM_ARRAY_TASK_ID") }
            let first = try integer("SLURM_ARRAY_TASK_MIN", environment) ?? 0
            let step = max(1, try integer("SLURM_ARRAY_TASK_STEP", environment) ?? 1)
            guard (id - first) % step == 0 else {
                throw PlanError(
                    place: "--part", problem: "the numbers of the Slurm array are not evenly spaced",
                    remedy: "use an array such as 1-8, or set \(countVariable)")
            }
            return try part(
                index: (id - first) / step, count: integer("SLURM_ARRAY_TASK_COUNT", environment),
                "SLURM_ARRAY_TASK_ID")
        }
        throw PlanError(
            place: "--part",
            problem:
                "no array job is known: none of SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX and AWS_BATCH_JOB_ARRAY_INDEX is set",
            remedy: "write --part I/N")
    }

    /// - Parameter index: From 0 on.
    private static func part(index: Int, count: Int?, _ variable: String) throws(PlanError) -> Part {
        guard let count, count >= 1, (0..<count).contains(index) else {
            throw PlanError(
                place: "--part",
                problem:
                    "\(variable) says number \(index) from 0 on, of \(count.map(String.init) ?? "an unknown number")",
                remedy: "number an array's jobs evenly, set \(countVariable) right, or write --part I/N")
        }
        return Part(number: index + 1, count: count)
    }

    private static func integer(
        _ variable: String, _ environment: [String: String]
    ) throws(PlanError) -> Int? {
        guard let text = environment[variable], !text.isEmpty else { return nil }
        guard let value = Int(text), value >= 0 else {
            throw PlanError(
                place: "--part", problem: "\(variable) is \"\(text)\", which is no number",
                remedy: "write --part I/N")
        }
        return value
    }
}

extension Part: CustomStringConvertible {
    public var description: String { "\(number)/\(count)" }
}

extension Part {
    /// Whether this part has the item with an index: every count-th.
    func takes(_ index: Int) -> Bool { index % count == number - 1 }

    /// A contiguous share of things with sizes, about as large as those of the other parts.
    func share(of sizes: [Int]) -> Range<Int> {
        let total = sizes.reduce(0, +)
        /// The first thing that begins in the given part or later: by the middle of its bytes.
        func first(_ part: Int) -> Int {
            var position = 0
            for (index, size) in sizes.enumerated() {
                if (2 * position + size).multipliedFullWidth(by: count) >= (2 * total).multipliedFullWidth(by: part) {
                    return index
                }
                position += size
            }
            return sizes.count
        }
        return (number == 1 ? 0 : first(number - 1))..<(number == count ? sizes.count : first(number))
    }
}
