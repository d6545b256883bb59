import Checkpoints
import Synchronization
import Tensors
import Workers

/// What outputs of one input have in common, whatever their tensors' data: where everything lies in their files, their side
/// files, and what their patches lead from. Each is made once, for all branches of a pass that need the same.
final class OutputForms: Sendable {
    /// Everything about the files of an output that is known before any data.
    struct Form: Sendable {
        let sideFiles: [SideFile]
        /// `nil` for a container, which lays itself out.
        let files: CheckpointFiles?
    }

    /// What a form depends on, beside the input.
    private struct Key: Equatable {
        let tensors: [LogicalTensor]
        let layerSources: [Int]?
        let format: OutputFormat
        let maximumShardSize: Int?
        let isSingleFile: Bool
    }

    private let forms = Mutex<[(key: Key, form: Form)]>([])
    private let patchBase = Mutex<PatchBase?>(nil)

    /// The form of an output.
    ///
    /// - Throws: ``Checkpoints/CheckpointError`` when the tensors cannot be stored so.
    func form(of output: PlannedOutput, in model: PlannedModel) throws -> Form {
        let key = Key(
            tensors: output.tensors, layerSources: model.layerSources, format: output.format,
            maximumShardSize: output.spec.maximumShardSize, isSingleFile: output.spec.isSingleFile)
        return try forms.withLock { forms in
            if let known = forms.first(where: { $0.key == key }) { return known.form }
            let input = model.input
            // Made beside the files' layout, which takes longer.
            let sideFiles = BackgroundTask {
                output.spec.isSingleFile && output.format != .nf4
                    ? [] : try input.sideFiles(config: model.configuration(of: output))
            }
            let files =
                output.format == .nf4
                ? nil
                : try CheckpointFiles(
                    tensors: output.tensors, metadata: input.reader.metadata,
                    maximumShardSize: output.spec.maximumShardSize)
            let form = Form(sideFiles: try sideFiles.finish(), files: files)
            forms.append((key, form))
            return form
        }
    }

    /// Makes the forms of all outputs beside what else there is to do. What goes wrong shows when they are asked for.
    func begin(_ model: PlannedModel) -> BackgroundTask<Void> {
        BackgroundTask { [self] in
            for output in model.outputs { _ = try? form(of: output, in: model) }
        }
    }

    /// The checkpoint that patches lead from.
    func patchBase(_ input: ModelDirectory) throws -> PatchBase {
        try patchBase.withLock { known in
            if let known { return known }
            let base = try PatchBase(input)
            known = base
            return base
        }
    }
}
