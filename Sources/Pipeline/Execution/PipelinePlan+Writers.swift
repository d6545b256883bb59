import Checkpoints
import LosslessJSON
import Reports
import SystemPackage

extension PipelinePlan {
    /// Makes the writers of all outputs; nothing is left behind when one cannot be made.
    ///
    /// - Parameters:
    ///   - inputs: Answers the fingerprints of the files that are read, which containers hold.
    ///   - forms: Of the pass.
    ///   - memoryLimit: Bytes that may wait in the memory of each writer, if it is one that lets bytes wait.
    func makeWriters(
        inputs: () throws -> [InputFingerprint], sharing forms: OutputForms, holding memoryLimit: Int
    ) throws -> [any CheckpointWriter] {
        var writers: [any CheckpointWriter] = []
        do {
            for output in model.outputs {
                writers.append(try makeWriter(for: output, inputs: inputs, sharing: forms, holding: memoryLimit))
            }
        } catch {
            for writer in writers { writer.abandon() }
            throw error
        }
        return writers
    }

    private func makeWriter(
        for output: PlannedOutput, inputs: () throws -> [InputFingerprint], sharing forms: OutputForms,
        holding memoryLimit: Int
    ) throws -> any CheckpointWriter {
        let form = try forms.form(of: output, in: model)
        if let files = form.files {
            guard output.format == .patch else {
                return try SafetensorsCheckpointWriter(
                    destination: output.spec.path, layout: files, sideFiles: form.sideFiles, force: replacesOutputs)
            }
            return try PatchWriter(
                destination: output.spec.path, base: forms.patchBase(model.input), files: files,
                sideFiles: form.sideFiles, memoryLimit: memoryLimit, force: replacesOutputs)
        }
        let adapters = output.adapters.map { model.adapters[$0] }
        let writer = try NF4ContainerWriter(
            destination: output.spec.path, tensors: output.tensors, metadata: model.input.reader.metadata,
            sideFiles: form.sideFiles,
            adapters: adapters.map { $0.adapter.containerForm(name: $0.pathInSpec, weight: $0.weight) },
            compression: output.spec.compression ?? .zlib, memoryLimit: memoryLimit, force: replacesOutputs)
        do {
            writer.setProvenance(provenance(try inputs()))
            for (index, attached) in adapters.enumerated() {
                try attached.adapter.forEachTensor { tensor, bytes in
                    try writer.writeAdapter(bytes, adapter: index, tensor: tensor, at: 0)
                }
            }
        } catch {
            writer.abandon()
            throw error
        }
        return writer
    }

    /// Where a container's contents come from.
    private func provenance(_ inputs: [InputFingerprint]) -> JSONValue {
        [
            "qconv_version": .string(qconvVersion),
            "inputs": .array(
                inputs.map { input in
                    var entry: JSONValue = [
                        "path": .string(input.path), "size": .int(input.size),
                        "header_sha256": .string(input.headerSHA256),
                    ]
                    if let hash = input.sha256 { entry["sha256"] = .string(hash) }
                    return entry
                }),
            "spec": spec.normalized,
        ]
    }
}
