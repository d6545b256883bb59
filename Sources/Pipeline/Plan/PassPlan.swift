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
        programs = SharedProgram.programs(of: [plan.programs])
    }

    /// - Parameter plans: At least one. All have been made for the same input.
    /// - Throws: ``PlanError`` when the memory budget does not hold them all at once.
    public init(_ plans: [PipelinePlan], options: PipelineOptions) throws(PlanError) {
        self.plans = plans
        programs = SharedProgram.programs(of: plans.map(\.programs))
        resources = try ResourcePlan(models: plans.map(\.model), programs: programs, options: options)
    }
}
