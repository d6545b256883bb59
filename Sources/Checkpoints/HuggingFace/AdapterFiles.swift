import SystemPackage

/// The files of a PEFT adapter's directory.
public enum AdapterFiles {
    public static let configuration = "adapter_config.json"
    public static let weights = "adapter_model.safetensors"
    /// The weights under the names that PEFT has given them, newest first; PEFT too takes safetensors where both are.
    public static let weightsNames = [weights, "adapter_model.bin", "adapter_model.pt"]

    /// The weights in a directory; `nil` when there are none.
    public static func weights(in directory: FilePath) -> FilePath? {
        weightsNames.lazy.map { directory.appending($0) }.first { FileSystem.kind(of: $0) == .file }
    }

    /// Opens an adapter's weights: safetensors, or what `torch.save` wrote.
    ///
    /// - Throws: ``CheckpointError``; ``Tensors/FileError``.
    public static func openWeights(_ path: FilePath) throws -> any CheckpointReader {
        try WeightsCheckpoint(path: path)
    }
}
