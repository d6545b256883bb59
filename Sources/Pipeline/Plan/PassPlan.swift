/// Plans for one input that are run in one pass over it.
public struct PassPlan: Sendable {
    public let plans: [PipelinePlan]
    /// What the pass needs of the machine.
    public let resources: ResourcePlan
    let programs: [SharedProgram]

    /// The pass of a single plan.
    public init(_ plan: PipelinePlan) {
        plans = [plan]
        resources = plan.resources
        programs = plan.ownPrograms
    }

    /// The pass of a part of a plan's tensors.
    ///
    /// - Throws: ``PlanError`` when the memory budget is too small.
    init(_ plan: PipelinePlan, tensors: Set<Int>, options: PipelineOptions) throws(PlanError) {
        plans = [plan]
        // Tensors that come of one tensor of the input may lie in shards of different parts.
        programs = SharedProgram.programs(of: [plan.programs], where: tensors.contains)
        resources = try ResourcePlan(models: [plan.model], programs: programs, options: options)
    }

    /// - Parameter plans: At least one. All have been made for the same input.
    /// - Throws: ``PlanError`` when the memory budget does not hold them all at once.
    public init(_ plans: [PipelinePlan], options: PipelineOptions) throws(PlanError) {
        self.plans = plans
        programs = SharedProgram.programs(of: plans.map(\.programs))
        resources = try ResourcePlan(models: plans.map(\.model), programs: programs, options: options)
    }
}
