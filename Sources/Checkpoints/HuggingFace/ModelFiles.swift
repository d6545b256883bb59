import SystemPackage

/// The names of files in a Hugging Face model directory, and the formats that they tell.
public enum ModelFiles {
    public static let weights = "model.safetensors"
    public static let index = "model.safetensors.index.json"
    public static let config = "config.json"
    /// The weights as PyTorch's pickles, as transformers wrote them before it knew safetensors.
    public static let pickledWeights = "pytorch_model.bin"
    public static let pickledIndex = "pytorch_model.bin.index.json"

    /// Opens a file of weights, or an index of shards, in the format that its name tells: `.bin`, `.pt` and `.pth` are
    /// PyTorch's, anything else is safetensors.
    static func openWeights(_ path: FilePath) throws -> any DirectoryCheckpoint {
        let name = path.lastComponent?.string ?? ""
        let isIndex = name.hasSuffix(".index.json")
        let weightsName = isIndex ? String(name.dropLast(".index.json".count)) : name
        let type: any DirectoryCheckpoint.Type =
            isPickle(weightsName) ? PyTorchCheckpoint.self : SafetensorsCheckpoint.self
        return isIndex ? try type.init(index: path) : try type.init(file: path)
    }

    static func isPickle(_ name: String) -> Bool {
        [".bin", ".pt", ".pth"].contains { name.hasSuffix($0) }
    }
}
