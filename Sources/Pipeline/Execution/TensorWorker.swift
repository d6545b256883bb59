import Adapters
import Checkpoints
import Quantization
import Reports
import Tensors

/// Does jobs, one after the other, with memory of its own.
final class TensorWorker {
    private let model: PlannedModel
    private let programs: [TensorProgram]
    private let writers: [any CheckpointWriter]
    private let chunk: Chunk
    private let clock = WorkClock()
    private let copyBuffer: UnsafeMutableRawBufferPointer

    init(
        model: PlannedModel, programs: [TensorProgram], writers: [any CheckpointWriter], chunkCapacity: Int,
        copyCapacity: Int
    ) {
        self.model = model
        self.programs = programs
        self.writers = writers
        chunk = Chunk(capacity: chunkCapacity, writers: writers, clock: clock)
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
                case .open(let tensor):
                    scheduler.opened(tensor: tensor, facts: try facts(of: programs[tensor]))
                case .work(let tensor, let phase, let facts, let job):
                    let result = try work(programs[tensor], phase, facts, job)
                    scheduler.finished(tensor: tensor, job: job, result: result)
                    if result.bytesRead > 0 { onProgress(scheduler.progress) }
                }
            } catch {
                scheduler.failed(error)
            }
        }
    }

    /// Loads the data of every change that the tensor's operations merge.
    private func facts(of program: TensorProgram) throws -> [OperationFacts] {
        try program.operations.map { operation in
            OperationFacts(changes: try operation.changes.map(model.load))
        }
    }

    private func work(
        _ program: TensorProgram, _ phase: TensorProgram.Phase, _ facts: [OperationFacts], _ job: Int
    ) throws -> JobResult {
        switch phase {
        case .copy:
            return try copy(program, job: job)
        case .prepare(let preparation, let operation):
            try load(program, phase, job)
            for earlier in 0..<operation where !(program.operations[earlier] is Emit) {
                try program.operations[earlier].apply(to: chunk, facts: facts[earlier])
            }
            let observations = try program.operations[operation].observe(
                preparation, in: chunk, facts: facts[operation])
            return JobResult(observations: observations)
        case .convert:
            try load(program, phase, job)
            for (operation, facts) in zip(program.operations, facts) {
                try operation.apply(to: chunk, facts: facts)
            }
            let bytes = program.input.encoding.byteRanges(of: chunk.range).reduce(0) { $0 + $1.bytes.count }
            return JobResult(emissions: chunk.emissions, bytesRead: bytes)
        }
    }

    private func load(_ program: TensorProgram, _ phase: TensorProgram.Phase, _ job: Int) throws {
        let (reader, tensor) = model.reader(of: program.source)
        try chunk.load(program.elements(phase, job: job), ofTensor: tensor, from: reader, granule: program.granule)
    }

    /// Moves bytes that nothing changes.
    private func copy(_ program: TensorProgram, job: Int) throws -> JobResult {
        let (reader, tensor) = model.reader(of: program.source)
        var result = JobResult()
        for (part, range) in program.input.encoding.byteRanges(of: program.elements(.copy, job: job)) {
            let buffer = UnsafeMutableRawBufferPointer(rebasing: copyBuffer[..<range.count])
            try clock.during(.reading) {
                try reader.read(part, ofTensor: tensor, at: range.lowerBound, into: buffer)
            }
            try clock.during(.writing) {
                for case let emit as Emit in program.operations {
                    try writers[emit.output].write(
                        UnsafeRawBufferPointer(buffer), part: part, ofTensor: emit.tensor, at: range.lowerBound)
                }
            }
            result.bytesRead += range.count
        }
        return result
    }
}
