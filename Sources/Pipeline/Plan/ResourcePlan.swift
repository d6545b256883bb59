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
    /// Bytes that each output will take, those of the first model first.
    public let bytesWritten: [Int]
    /// The most memory for data in flight: chunks, and the factors of open tensors, in bytes.
    public let peakMemory: Int
    /// Elements that a worker's chunk must hold.
    let chunkCapacity: Int
    /// Bytes that a worker's copy buffer must hold.
    let copyCapacity: Int
    /// Tensors in progress at once.
    let openTensors: Int

    /// Elements that a chunk aims at: few enough for a core's own cache, enough that a system call costs nothing.
    static let targetChunkElements = 65536

    /// - Parameters:
    ///   - models: The models that are made in one pass over their input.
    ///   - programs: What happens to each tensor of the input in all of them.
    init(models: [PlannedModel], programs: [SharedProgram], options: PipelineOptions) throws(PlanError) {
        let capacity = programs.lazy.filter { !$0.isCopy }.map(\.chunkElements).max() ?? 0
        let copyBytes = programs.lazy.filter(\.isCopy).map(\.chunkBytes).max() ?? 0
        let perThread = capacity * Chunk.bytesPerElement + copyBytes
        let factorBytes = programs.map { $0.factorBytes(models) }.max() ?? 0
        let asked = max(1, options.threads ?? ResourcePlan.coreCount)
        let affordable = options.memory / (perThread + 2 * factorBytes)
        guard affordable >= 1 else {
            throw PlanError(
                place: "--memory", problem: "\(options.memory) bytes are not enough for this conversion",
                remedy: "give it at least \((perThread + 2 * factorBytes + (1 << 20) - 1) >> 20)MiB")
        }
        threads = min(asked, affordable)
        openTensors = threads + 1
        chunkCapacity = capacity
        copyCapacity = copyBytes
        peakMemory = threads * perThread + openTensors * factorBytes
        bytesRead = programs.reduce(0) { $0 + $1.input.parts.reduce(0) { $0 + $1.byteCount } }
        bytesWritten = models.flatMap(\.outputs).map { output in
            output.tensors.reduce(0) { $0 + $1.parts.reduce(0) { $0 + $1.byteCount } }
        }
    }

    /// The cores this process may run on.
    public static var coreCount: Int { Workers.coreCount }

    /// Refuses to start what cannot fit on the disk.
    func checkDiskSpace(_ model: PlannedModel) throws(InsufficientSpaceError) {
        var needed: [FilePath: Int] = [:]
        for (output, bytes) in zip(model.outputs, bytesWritten) {
            needed[output.spec.path.removingLastComponent(), default: 0] += bytes
        }
        for (directory, bytes) in needed {
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
}

extension PlannedModel {
    /// Bytes of the data of all changes that a tensor's operations merge.
    func factorBytes(_ tensor: PlannedTensor) -> Int {
        tensor.operations.reduce(0) { total, operation in
            operation.changes.reduce(total) { $0 + adapters[$1.adapter].adapter.factorBytes(ofChange: $1.change) }
        }
    }
}
