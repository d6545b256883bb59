import SystemPackage

/// `save`: writes the model as it is at this point, in the same pass, and goes on.
struct SaveStage: Stage {
    static let op = "save"
    static let summary =
        "Writes the model as it is at this point, in the same pass, and goes on: one spec can leave several models."
    static let needsWeights = false
    static let keys = OutputSpec.keys

    let output: OutputSpec

    init(_ arguments: SpecObject, directory: FilePath) throws(SpecError) {
        output = try OutputSpec(arguments, directory: directory)
    }

    func plan(_ model: inout PlannedModel, place: String) throws {
        try model.addOutput(output, place: place)
    }
}
