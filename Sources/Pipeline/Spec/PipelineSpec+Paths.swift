import Checkpoints
import SystemPackage

extension PipelineSpec {
    /// Everything that the conversion writes, and where in the spec it is asked for.
    var destinations: [(used: UsedPath, place: String)] {
        let saves = steps.enumerated().compactMap { index, step in
            (step as? SaveStage).map {
                (UsedPath($0.output.path, as: .output), StageRegistry.place(index + 1, SaveStage.op))
            }
        }
        return saves + (output.map { [(UsedPath($0.path, as: .output), "output")] } ?? [])
            + report.paths.map { (UsedPath($0, as: .report), "report") }
    }

    /// What the conversion reads, as far as the spec tells.
    var sources: [UsedPath] {
        let adapters = steps.flatMap { ($0 as? AttachAdapterStage)?.adapterPaths ?? [] }
        return (isStored ? [UsedPath(file, as: .spec)] : []) + [UsedPath(input, as: .input)]
            + adapters.map { UsedPath($0, as: .adapter) }
    }
}
