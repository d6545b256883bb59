import Adapters
import Checkpoints
import Quantization
import Reports
import Tensors

/// Does jobs, one after the other, with memory of its own.
final class TensorWorker {
    private let reader: any CheckpointReader
    /// By index.
    private let branches: [Int: Branch]
    private let programs: [SharedProgram]
    private let chunk: Chunk
    private let clock = WorkClock()
    private let copyBuffer: UnsafeMutableRawBufferPointer
    private let wantsFigures: Bool

    /// - Parameters:
    ///   - reader: The input that the branches have in common.
    ///   - wantsFigures: Whether anybody looks at the figures of what is written.
    init(
        reader: any CheckpointReader, branches: [Int: Branch], programs: [SharedProgram], chunkCapacity: Int,
        copyCapacity: Int, wantsFigures: Bool
    ) {
        self.wantsFigures = wantsFigures
        self.reader = reader
        self.branches = branches
        self.programs = programs
        chunk = Chunk(capacity: chunkCapacity, clock: clock)
        copyBuffer = .allocate(byteCount: copyCapacity, alignment: 64)
    }

    deinit {
        copyBuffer.deallocate()
    }

    /// What the worker has spent its time on.
    var totals: WorkTotals { clock.totals }

    /// Works until the scheduler has nothing left.
    ///
    /// - Parameter onProgress: Told how many bytes of input all workers have converted, after each job.
    func run(_ scheduler: Scheduler, onProgress: (Int) -> Void) {
        defer { clock.enter(.waiting) }
        while let job = clock.during(.waiting, scheduler.next) {
            do {
                switch job {
                case .open(let tensor, let branches):
                    let opened = open(programs[tensor], branches)
                    scheduler.opened(
                        tensor: tensor, for: branches, facts: opened.facts, failures: opened.failures)
                case .work(let work):
                    let result = try self.work(work, on: programs[work.tensor])
                    let progress = scheduler.finished(work, result: result)
                    if result.bytesRead > 0 { onProgress(progress) }
                }
            } catch {
                scheduler.failed(error)
            }
        }
    }

    /// Loads the data of every change that the tensor's operations merge, for the branches that still run.
    private func open(
        _ program: SharedProgram, _ running: Set<Int>
    ) -> (facts: [[OperationFacts]], failures: [(branch: Int, error: any Error)]) {
        var failures: [(branch: Int, error: any Error)] = []
        let facts = program.members.map { member -> [OperationFacts] in
            do {
                guard running.contains(member.branch), let branch = branches[member.branch] else {
                    return member.program.noFacts
                }
                return try self.facts(of: member.program, in: branch.plan.model)
            } catch {
                failures.append((member.branch, error))
                return member.program.noFacts
            }
        }
        return (facts, failures)
    }

    private func facts(of program: TensorProgram, in model: PlannedModel) throws -> [OperationFacts] {
        try program.operations.map { operation in
            OperationFacts(changes: try operation.changes.compactMap(model.load))
        }
    }

    private func work(_ work: TensorWork, on program: SharedProgram) throws -> JobResult {
        var result = JobResult()
        for range in program.stretches(work.phase, job: work.job) {
            if work.phase.cut == .copy {
                try copy(range, of: program, for: work, into: &result)
            } else {
                try convert(range, of: program, for: work, into: &result)
            }
        }
        return result
    }

    /// Takes elements through a phase of all branches.
    private func convert(
        _ range: Range<Int>, of program: SharedProgram, for work: TensorWork, into result: inout JobResult
    ) throws {
        let (reader, tensor) = try source(of: program)
        try chunk.load(
            range, ofTensor: tensor, from: reader, granule: program.granule, held: work.held,
            pass: work.pass)
        for step in work.phase.steps {
            let member = program.members[step.member]
            guard work.branches.contains(member.branch), let writers = branches[member.branch]?.writers else {
                continue
            }
            chunk.rewind(writers: writers)
            do {
                result.members.append(
                    (step.member, try take(step.phase, of: member.program, facts: work.facts[step.member])))
            } catch {
                result.failures.append((member.branch, error))
            }
        }
        if work.phase.isLast {
            let stored = range.clamped(to: 0..<program.input.elementCount)
            result.bytesRead += program.input.encoding.byteRanges(of: stored).reduce(0) { $0 + $1.bytes.count }
        }
    }

    /// Takes the loaded chunk through a phase of one branch.
    private func take(
        _ phase: TensorProgram.Phase, of program: TensorProgram, facts: [OperationFacts]
    ) throws -> MemberResult {
        guard case .prepare(let preparation, let operation) = phase else {
            chunk.isMeasured = wantsFigures
            for (operation, facts) in zip(program.operations, facts) {
                try operation.apply(to: chunk, facts: facts)
            }
            return MemberResult(emissions: chunk.emissions)
        }
        guard program.operations[operation].needs(preparation, facts[operation]) else { return MemberResult() }
        chunk.isMeasured = true
        for earlier in 0..<operation where !(program.operations[earlier] is Emit) {
            try program.operations[earlier].apply(to: chunk, facts: facts[earlier])
        }
        return MemberResult(
            observations: try program.operations[operation].observe(preparation, in: chunk, facts: facts[operation]))
    }

    /// Who has the tensor's data, and under which index.
    private func source(of program: SharedProgram) throws -> (reader: any CheckpointReader, tensor: Int) {
        switch program.source {
        case .input(let tensor): return (reader, tensor)
        case .adapter:
            // Only a branch that is dropped by now is missing.
            guard let branch = branches[program.members[0].branch] else { throw Interrupted() }
            return branch.plan.model.reader(of: program.source)
        }
    }

    /// Moves bytes that nothing changes.
    private func copy(
        _ elements: Range<Int>, of program: SharedProgram, for work: TensorWork, into result: inout JobResult
    ) throws {
        let (reader, tensor) = try source(of: program)
        let targets = targets(of: program, for: work)
        for (part, range) in program.input.encoding.byteRanges(of: elements) {
            let buffer = UnsafeMutableRawBufferPointer(rebasing: copyBuffer[..<range.count])
            func read(into room: UnsafeMutableRawBufferPointer, first: Int) throws {
                try clock.during(.reading) {
                    try reader.read(part, ofTensor: tensor, at: range.lowerBound + first, into: room)
                }
            }
            if targets.count > 1 { try read(into: buffer, first: 0) }
            for target in targets {
                do {
                    try clock.during(.writing) {
                        if targets.count > 1 {
                            try target.writer.write(
                                UnsafeRawBufferPointer(buffer), part: part, ofTensor: target.tensor,
                                at: range.lowerBound)
                        } else {
                            // What goes to one place is read to where it goes from.
                            try target.writer.write(
                                part: part, ofTensor: target.tensor, at: range.lowerBound, using: buffer, fill: read)
                        }
                    }
                } catch {
                    result.failures.append((target.branch, error))
                }
            }
            result.bytesRead += range.count
        }
    }

    /// Who takes a tensor that nothing changes, and under which index.
    private func targets(
        of program: SharedProgram, for work: TensorWork
    ) -> [(branch: Int, writer: any CheckpointWriter, tensor: Int)] {
        program.members.filter { work.branches.contains($0.branch) }.flatMap { member in
            let writers = branches[member.branch]?.writers ?? []
            return member.program.operations.compactMap { $0 as? Emit }.map {
                (member.branch, writers[$0.output], $0.tensor)
            }
        }
    }
}
