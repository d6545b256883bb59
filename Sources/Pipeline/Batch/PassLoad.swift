/// What the conversions of one pass take of the memory budget.
struct PassLoad {
    /// Bytes of the factors that the merges into each tensor need.
    private var factorBytes: [Int]
    private var chunkCapacity: Int
    private var extraFloats: Int
    private var copyCapacity: Int
    private var gathering: Int

    init(_ plan: PipelinePlan, _ options: PipelineOptions) {
        factorBytes = plan.model.tensors.map { plan.model.factorBytes($0) }
        chunkCapacity = plan.resources.chunkCapacity
        extraFloats = plan.resources.extraFloats
        copyCapacity = plan.resources.copyCapacity
        gathering = ResourcePlan.gatheringMemory(plan.model, options)
    }

    /// The load of both in one pass.
    func adding(_ other: PassLoad) -> PassLoad {
        var sum = self
        sum.factorBytes = (0..<max(factorBytes.count, other.factorBytes.count)).map { tensor in
            [factorBytes, other.factorBytes].reduce(0) { $0 + (tensor < $1.count ? $1[tensor] : 0) }
        }
        sum.chunkCapacity = max(chunkCapacity, other.chunkCapacity)
        sum.extraFloats = max(extraFloats, other.extraFloats)
        sum.copyCapacity = max(copyCapacity, other.copyCapacity)
        sum.gathering = gathering + other.gathering
        return sum
    }

    /// Whether the budget holds it for all worker threads that are asked for.
    func fits(_ options: PipelineOptions) -> Bool {
        ResourcePlan.peakMemory(
            threads: ResourcePlan.threadsAsked(options),
            perThread: ResourcePlan.bytesPerThread(
                chunkCapacity: chunkCapacity, extraFloats: extraFloats, copyCapacity: copyCapacity),
            factorBytes: factorBytes.max() ?? 0, gathering: gathering) <= options.memory
    }
}
