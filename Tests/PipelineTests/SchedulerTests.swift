import Tensors
import Testing

@testable import Pipeline

@Suite struct SchedulerTests {
    /// While a thread copies a large tensor the others do something else, as long as there is something.
    @Test func copiesOfLargeTensorsAreOneAtATimeBesideOtherWork() throws {
        let scheduler = scheduler([.copy("embedding", 4), .change("q_proj", 2), .change("k_proj", 1)])
        let copy = try #require(scheduler.next()?.work)
        #expect(copy.tensor == 0)
        try open(1, in: scheduler)
        let first = try #require(scheduler.next()?.work)
        let second = try #require(scheduler.next()?.work)
        #expect([first.tensor, second.tensor] == [1, 1])
        #expect(Set([first.job, second.job]) == [0, 1])
        try open(2, in: scheduler)
        let third = try #require(scheduler.next()?.work)
        #expect(third.tensor == 2)
        // Nothing is left but copying.
        let another = try #require(scheduler.next()?.work)
        #expect(another.tensor == 0 && another.job != copy.job)
        // Copying goes on in the order of the file when nobody does it.
        for work in [copy, another] { _ = scheduler.finished(work, result: JobResult()) }
        #expect(try #require(scheduler.next()?.work).tensor == 0)
    }

    /// Large copies do not count as open: what comes after them is prepared all the same.
    @Test func largeCopiesHoldNothingUp() throws {
        let scheduler = scheduler([.copy("embed_tokens", 2), .change("q_proj", 1)], openLimit: 1)
        _ = try #require(scheduler.next()?.work)
        try open(1, in: scheduler)
    }

    @Test(arguments: [1, 2, 5])
    func everyJobIsHandedOutOnce(openLimit: Int) throws {
        let tensors: [Program] = [
            .change("a", 3), .copy("b", 5), .copy("c", 1), .copy("d", 2), .change("e", 1), .copy("f", 7),
            .change("g", 4),
        ]
        let scheduler = scheduler(tensors, openLimit: openLimit)
        var jobs: [[Int]] = tensors.map { _ in [] }
        while let job = scheduler.next() {
            switch job {
            case .open(let tensor, let branches):
                scheduler.opened(
                    tensor: tensor, for: branches, facts: [[OperationFacts()]], failures: [])
            case .work(let work):
                jobs[work.tensor].append(work.job)
                _ = scheduler.finished(work, result: JobResult())
            }
        }
        #expect(jobs == tensors.map { Array(0..<$0.jobs) })
        #expect(scheduler.failure(of: 0) == nil)
    }

    // MARK: - Tensors

    private enum Program {
        case copy(_ name: String, _ jobs: Int)
        case change(_ name: String, _ jobs: Int)

        var jobs: Int {
            switch self {
            case .copy(_, let jobs), .change(_, let jobs): jobs
            }
        }
    }

    /// Turns no element into another.
    private struct Change: TensorOperation {
        var result: Encoding { .dense(.bf16) }
        func apply(to chunk: Chunk, facts: OperationFacts) throws {}
    }

    private func scheduler(_ tensors: [Program], openLimit: Int = 2) -> Scheduler {
        let programs = tensors.enumerated().map { index, tensor in
            let (name, operations): (String, [any TensorOperation]) =
                switch tensor {
                case .copy(let name, _): (name, [])
                case .change(let name, _): (name, [Change()])
                }
            // A chunk and a piece of a copy are the same number of elements here.
            let shape = [tensor.jobs * TensorProgram.copyElements]
            return TensorProgram(
                source: .input(index), input: LogicalTensor(name: name, shape: shape, encoding: .dense(.bf16)),
                operations: operations, targetChunkElements: TensorProgram.copyElements)
        }
        return Scheduler(
            programs: SharedProgram.programs(of: [programs]), branches: [0], openLimit: openLimit, heldCapacity: 0,
            isCancelled: { false }, events: Scheduler.Events(finished: { _, _ in }, dropped: { _, _ in }))
    }

    /// Takes the next job, which must be to open a tensor, and does it.
    private func open(_ expected: Int, in scheduler: Scheduler) throws {
        guard case .open(let tensor, let branches)? = scheduler.next() else {
            Issue.record("another job than to open tensor \(expected)")
            return
        }
        #expect(tensor == expected)
        scheduler.opened(tensor: tensor, for: branches, facts: [[OperationFacts()]], failures: [])
    }
}

extension Job {
    fileprivate var work: TensorWork? {
        if case .work(let work) = self { work } else { nil }
    }
}
