import Quantization
import Reports

/// The state of one tensor while its chunks are processed. The scheduler guards it.
struct TensorRun: Sendable {
    let program: SharedProgram
    /// What is known of the tensor in each branch, by member of the program.
    private(set) var members: [MemberRun]
    /// Where the input is kept between passes, if it is.
    let held: HeldInput?
    private var phaseIndex = 0
    private var nextJob = 0
    private var finishedJobs = 0
    /// Results that arrived before those of an earlier job, by job.
    private var waiting: [Int: JobResult] = [:]
    private var nextToFold = 0
    /// Whether a pass over all chunks has ended.
    private var hasBeenSeen = false

    /// - Parameter facts: For each member, what each of its operations knows.
    init(program: SharedProgram, facts: [[OperationFacts]], held: HeldInput? = nil) {
        self.program = program
        self.held = held
        members = zip(program.members, facts).map { MemberRun(program: $0.program, facts: $1) }
        skipNeedlessPhases()
    }

    var phase: SharedProgram.Phase? {
        phaseIndex < program.phases.count ? program.phases[phaseIndex] : nil
    }

    /// What chunks are loaded for in this phase.
    var pass: HeldPass {
        phase?.cut == .sample ? .sample : hasBeenSeen ? .later : .first
    }

    /// What the operations of each member know in this phase.
    var facts: [[OperationFacts]] { members.map(\.facts) }

    var isFinished: Bool { phase == nil }

    /// A job nobody works on yet, if the current phase has one left.
    mutating func claimJob() -> Int? {
        guard let phase, nextJob < program.jobCount(phase) else { return nil }
        defer { nextJob += 1 }
        return nextJob
    }

    /// Takes a job's result. Results are folded in the order of the tensor, whatever the order they arrive in: this is what
    /// makes every figure independent of threads.
    mutating func finish(job: Int, with result: JobResult) {
        waiting[job] = result
        while let next = waiting.removeValue(forKey: nextToFold) {
            for (member, result) in next.members { members[member].fold(result) }
            nextToFold += 1
        }
        finishedJobs += 1
        if let phase, finishedJobs == program.jobCount(phase) { endPhase() }
    }

    private mutating func endPhase() {
        for step in phase?.steps ?? [] { members[step.member].end(step.phase) }
        if phase?.cut == .chunks, finishedJobs > 0 { hasBeenSeen = true }
        phaseIndex += 1
        nextJob = 0
        finishedJobs = 0
        nextToFold = 0
        skipNeedlessPhases()
    }

    /// A tensor without elements has phases without jobs, and what an earlier phase has found may leave nothing to look for.
    private mutating func skipNeedlessPhases() {
        guard let phase else { return }
        let isNeeded = phase.steps.contains { members[$0.member].needs($0.phase) }
        if program.jobCount(phase) == 0 || !isNeeded { endPhase() }
    }
}

/// The state of one tensor in one branch.
struct MemberRun: Sendable {
    let program: TensorProgram
    /// What each operation knows of the tensor.
    private(set) var facts: [OperationFacts]
    /// The figures of each output so far, by output.
    private(set) var emitted: [Int: EmittedFigures] = [:]
    private var folded = FoldedObservations()

    init(program: TensorProgram, facts: [OperationFacts]) {
        self.program = program
        self.facts = facts
    }

    fileprivate mutating func fold(_ result: MemberResult) {
        for observation in result.observations { folded.add(observation) }
        for emission in result.emissions {
            emitted[emission.output, default: EmittedFigures(tensor: emission.tensor)].add(emission)
        }
    }

    /// Whether a phase has anything to do, after those before it.
    fileprivate func needs(_ phase: TensorProgram.Phase) -> Bool {
        guard case .prepare(let preparation, let operation) = phase else { return true }
        return program.operations[operation].needs(preparation, facts[operation])
    }

    fileprivate mutating func end(_ phase: TensorProgram.Phase) {
        if case .prepare(let preparation, let operation) = phase, needs(phase) {
            program.operations[operation].conclude(preparation, from: folded, into: &facts[operation])
        }
        folded = FoldedObservations()
    }
}

/// What a worker brings back from one job.
struct JobResult: Sendable {
    /// What the branches contribute, by member of the program.
    var members: [(member: Int, result: MemberResult)] = []
    /// The branches that failed.
    var failures: [(branch: Int, error: any Error)] = []
    var bytesRead = 0
}

/// What one branch contributes to a job's result.
struct MemberResult: Sendable {
    var observations: [Observation] = []
    var emissions: [Emission] = []
}

/// The figures of one tensor in one output.
struct EmittedFigures: Sendable {
    let tensor: Int
    var sums = ErrorSums()
    var changedCodes: Int?

    init(tensor: Int) { self.tensor = tensor }

    mutating func add(_ emission: Emission) {
        for next in emission.sums { sums.merge(next) }
        if let changed = emission.changedCodes { changedCodes = (changedCodes ?? 0) + changed }
    }
}
