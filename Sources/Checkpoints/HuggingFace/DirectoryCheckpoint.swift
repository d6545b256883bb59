import SystemPackage

/// A checkpoint in the files of a Hugging Face directory: safetensors or PyTorch's format.
protocol DirectoryCheckpoint: CheckpointReader {
    /// A quantization that is stored in ordinary tensors and that we cannot decode; `nil` when there is no sign of one.
    var foreignQuantization: ForeignQuantization? { get }

    init(file: FilePath) throws
    init(index: FilePath) throws
}
