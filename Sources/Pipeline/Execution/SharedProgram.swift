import Tensors

/// All that happens to one tensor of the input: the programs of every branch that converts it, side by side, so that what
/// is read and decoded once serves all of them.
final class SharedProgram: Sendable {
    /// The tensor's program in one branch.
    struct Member: Sendable {
        /// Index into the branches of the pass.
        let branch: Int
        /// Index into the branch's planned tensors.
        let tensor: Int
        let program: TensorProgram
    }

    /// A pass over the tensor, which must end before the next begins.
    struct Phase: Sendable {
        let cut: TensorProgram.Cut
        /// What the members that take part do, by index into the members.
        let steps: [(member: Int, phase: TensorProgram.Phase)]
        /// Whether it is the tensor's last.
        let isLast: Bool
    }

    let source: TensorSource
    let input: LogicalTensor
    let members: [Member]
    let phases: [Phase]
    private let cutter: TensorProgram

    /// - Parameters: Members of one source that can share chunks.
    private init(_ first: Member, _ others: [Member]) {
        members = [first] + others
        // Copies are cut into larger pieces than a chunk can hold.
        cutter = (members.first { !$0.program.isCopy } ?? first).program
        source = cutter.source
        input = cutter.input
        phases = SharedProgram.phases(of: members.map(\.program))
    }

    /// Puts the programs of all branches that concern one tensor of the input together.
    ///
    /// - Parameters:
    ///   - branches: For each branch, the programs of its tensors.
    ///   - isWanted: Asked for each tensor of a branch.
    /// - Returns: In the order of the input, then what comes from elsewhere.
    static func programs(
        of branches: [[TensorProgram]], where isWanted: (_ tensor: Int) -> Bool = { _ in true }
    ) -> [SharedProgram] {
        var byTensor: [Int: [Member]] = [:]
        var others: [Member] = []
        for (branch, programs) in branches.enumerated() {
            for (tensor, program) in programs.enumerated() where isWanted(tensor) {
                let member = Member(branch: branch, tensor: tensor, program: program)
                switch program.source {
                case .input(let index): byTensor[index, default: []].append(member)
                case .adapter: others.append(member)
                }
            }
        }
        return byTensor.sorted { $0.key < $1.key }.flatMap { grouped($0.value) }
            + others.map { SharedProgram($0, []) }
    }

    /// Members share chunks if their granules are the same, on which figures depend, and so many elements. Copies have no
    /// granules.
    private static func grouped(_ members: [Member]) -> [SharedProgram] {
        var groups: [[Member]] = []
        let changing = members.filter { !$0.program.isCopy }
        for member in changing {
            if let index = groups.firstIndex(where: {
                $0[0].program.granule == member.program.granule
                    && $0[0].program.elementCount == member.program.elementCount
            }) {
                groups[index].append(member)
            } else {
                groups.append([member])
            }
        }
        let copies = members.filter(\.program.isCopy)
        if groups.isEmpty { groups = [copies] } else { groups[0] += copies }
        return groups.map { SharedProgram($0[0], Array($0.dropFirst())) }
    }

    /// The phases of all programs in an order that is right for each, those with the same cut together, and the last ones of
    /// all in one.
    private static func phases(of programs: [TensorProgram]) -> [Phase] {
        var next = [Int](repeating: 0, count: programs.count)
        var phases: [Phase] = []
        while let leader = programs.indices.first(where: { next[$0] < programs[$0].phases.count - 1 }) {
            let cut = programs[leader].phases[next[leader]].cut
            let together = programs.indices.filter {
                next[$0] < programs[$0].phases.count - 1 && programs[$0].phases[next[$0]].cut == cut
            }
            phases.append(
                Phase(cut: cut, steps: together.map { ($0, programs[$0].phases[next[$0]]) }, isLast: false))
            for index in together { next[index] += 1 }
        }
        let last = programs.indices.map { (member: $0, phase: programs[$0].phases[next[$0]]) }
        phases.append(
            Phase(
                cut: last.contains { $0.phase.cut == .chunks } ? .chunks : .copy, steps: last, isLast: true))
        return phases
    }

    /// Elements that stay together.
    var granule: Int { cutter.granule }
    /// Elements a chunk.
    var chunkElements: Int { cutter.chunkElements }
    /// Whether no branch changes the tensor.
    var isCopy: Bool { cutter.isCopy }
    /// Whether it is one of those copies that take long.
    var isLargeCopy: Bool { isCopy && cutter.jobCount(.copy) > 1 }
    /// The most bytes that a chunk of the input takes in one part.
    var chunkBytes: Int { cutter.chunkBytes }

    /// The number of jobs of a phase.
    func jobCount(_ phase: Phase) -> Int { cutter.jobCount(phase.cut) }

    /// The elements of a job of a phase: for a sample several stretches.
    func stretches(_ phase: Phase, job: Int) -> [Range<Int>] { cutter.stretches(phase.cut, job: job) }
}
