import Checkpoints
import SystemPackage
import Tensors
import Workers

/// What a conversion needs of the machine, known before it starts.
public struct ResourcePlan: Sendable {
    /// Worker threads that will run: fewer than asked for when the memory budget holds no more.
    public let threads: Int
    /// Bytes of input tensor data that will be read once.
    public let bytesRead: Int
    /// Bytes that each output will take, those of the first model first; 0 for a patch, whose size shows only when it is
    /// made.
    public let bytesWritten: [Int]
    /// The most memory for data in flight: chunks, the factors of open tensors, and what waits for its place in the outputs, in
    /// bytes.
    public let peakMemory: Int
    /// Elements that a worker's chunk must hold.
    let chunkCapacity: Int
    /// Floats that a chunk needs of each element beside what all do.
    let extraFloats: Int
    /// Bytes that a worker's copy buffer must hold.
    let copyCapacity: Int
    /// Tensors in progress at once.
    let openTensors: Int
    /// Bytes of the largest input that is kept in memory from its first pass to its last; 0 where the budget has no room.
    let heldCapacity: Int
    /// Bytes that may wait for their place in containers and patches; what does not find room waits in a file.
    let waitingMemory: Int

    /// Elements that a chunk aims at: few enough for a core's own cache, enough that a system call costs nothing. Less where
    /// memory is short.
    static func targetChunkElements(_ options: PipelineOptions) -> Int {
        options.memory / threadsAsked(options) < 32 << 20 ? 65536 : 131_072
    }

    /// - Parameters:
    ///   - models: The models that are made in one pass over their input.
    ///   - programs: What happens to each tensor of the input in all of them.
    init(models: [PlannedModel], programs: [SharedProgram], options: PipelineOptions) throws(PlanError) {
        let capacity = programs.lazy.filter { !$0.isCopy }.map(\.chunkElements).max() ?? 0
        let copyBytes = programs.lazy.filter(\.isCopy).map(\.chunkBytes).max() ?? 0
        extraFloats = programs.lazy.map { $0.extraFloats(models) }.max() ?? 0
        let perThread = ResourcePlan.bytesPerThread(
            chunkCapacity: capacity, extraFloats: extraFloats, copyCapacity: copyBytes)
        let factorBytes = programs.map { $0.factorBytes(models) }.max() ?? 0
        let gathering = models.reduce(0) { $0 + ResourcePlan.gatheringMemory($1, options) }
        // A model without elements takes none.
        let affordable = (options.memory - gathering) / max(perThread + 2 * factorBytes, 1)
        guard affordable >= 1 else {
            throw PlanError(
                place: "--memory", problem: "\(options.memory) bytes are not enough for this conversion",
                remedy: "give it at least \((gathering + perThread + 2 * factorBytes + (1 << 20) - 1) >> 20)MiB")
        }
        threads = min(ResourcePlan.threadsAsked(options), affordable)
        openTensors = threads + 1
        chunkCapacity = capacity
        copyCapacity = copyBytes
        let working = ResourcePlan.peakMemory(
            threads: threads, perThread: perThread, factorBytes: factorBytes, gathering: gathering)
        let held = programs.lazy.map(\.heldBytes).max() ?? 0
        heldCapacity = working + openTensors * HeldInput.byteCount(capacity: held) <= options.memory ? held : 0
        let withInput = working + openTensors * HeldInput.byteCount(capacity: heldCapacity)
        let letsWait = models.contains { $0.outputs.contains { [.nf4, .patch].contains($0.format) } }
        waitingMemory =
            letsWait
            ? min(max(options.memory - withInput, ResourcePlan.leastWaiting), NF4ContainerWriter.standardMemoryLimit)
            : 0
        peakMemory = withInput + waitingMemory
        bytesRead = programs.reduce(0) { $0 + $1.input.parts.reduce(0) { $0 + $1.byteCount } }
        bytesWritten = models.flatMap(\.outputs).map { output in
            output.format == .patch ? 0 : output.tensors.reduce(0) { $0 + $1.parts.reduce(0) { $0 + $1.byteCount } }
        }
    }

    /// Bytes that wait for their place in containers and patches even if the budget has no room: some pieces.
    private static let leastWaiting = 4 << 20

    /// Bytes of memory that a worker needs for itself.
    ///
    /// - Parameter extraFloats: That a chunk needs of each element beside what all do.
    static func bytesPerThread(chunkCapacity: Int, extraFloats: Int, copyCapacity: Int) -> Int {
        chunkCapacity * (Chunk.bytesPerElement + extraFloats * 4) + copyCapacity
    }

    /// Bytes that wait in memory for more of their place in a model's safetensors files.
    static func gatheringMemory(_ model: PlannedModel, _ options: PipelineOptions) -> Int {
        model.outputs.count { $0.format == .safetensors || $0.format == .bitsandbytes }
            * WindowedOutput.memory(threads: threadsAsked(options))
    }

    /// - Parameters:
    ///   - factorBytes: What the factors of an open tensor take at most.
    ///   - gathering: Of all models.
    static func peakMemory(threads: Int, perThread: Int, factorBytes: Int, gathering: Int) -> Int {
        threads * perThread + (threads + 1) * factorBytes + gathering
    }

    /// The worker threads that will run if the memory budget holds them.
    static func threadsAsked(_ options: PipelineOptions) -> Int { max(1, options.threads ?? coreCount) }

    /// The cores this process may run on.
    public static var coreCount: Int { Workers.coreCount }

    /// Refuses to start what cannot fit on the disks, all plans together.
    static func checkDiskSpace(_ plans: [PipelinePlan]) throws(InsufficientSpaceError) {
        /// What goes to one disk, and the first directory that it goes to.
        var needed: [DiskSpace.Volume: (directory: FilePath, bytes: Int)] = [:]
        for plan in plans {
            for (output, bytes) in zip(plan.model.outputs, plan.resources.bytesWritten) {
                let directory = output.spec.path.removingLastComponent()
                guard let volume = DiskSpace.volume(of: directory) else { continue }
                needed[volume, default: (directory, 0)].bytes += bytes
            }
        }
        for (directory, bytes) in needed.values {
            guard let free = DiskSpace.free(at: directory), free < bytes else { continue }
            throw InsufficientSpaceError(directory: directory, needed: bytes, free: free)
        }
    }
}

extension SharedProgram {
    /// Bytes of the factors of all updates that the tensor's operations merge, in all models.
    fileprivate func factorBytes(_ models: [PlannedModel]) -> Int {
        members.reduce(0) { $0 + models[$1.branch].factorBytes(models[$1.branch].tensors[$1.tensor]) }
    }

    /// Floats that a chunk needs of each element beside what all do, on the way through this tensor.
    fileprivate func extraFloats(_ models: [PlannedModel]) -> Int {
        members.map { models[$0.branch].extraFloats($0.program.operations) }.max() ?? 0
    }
}

extension PlannedModel {
    /// As many as ``Chunk/unmerged``, ``Chunk/single`` and ``Chunk/laterUpdate`` take, where they are needed.
    fileprivate func extraFloats(_ operations: [any TensorOperation]) -> Int {
        let merges = operations.filter { !$0.changes.isEmpty || $0.resultShape != nil }
        return (merges.contains { $0.changes.contains(where: mustBeInOrder) } ? 2 : 0) + (merges.count > 1 ? 1 : 0)
    }

    /// Whether a change may have to be applied after those before it, and cannot be added up with them.
    private func mustBeInOrder(_ pending: PendingChange) -> Bool {
        if case .rows = kind(of: pending) { return true }
        return hasMagnitude(pending) || isRoundedFirst(pending)
    }

    /// Bytes of the data of all changes that a tensor's operations merge.
    func factorBytes(_ tensor: PlannedTensor) -> Int {
        tensor.operations.reduce(0) { total, operation in
            operation.changes.reduce(total) {
                $0 + adapters[$1.adapter].adapter.factorBytes(ofChange: $1.change, placement: $1.placement)
            }
        }
    }
}
