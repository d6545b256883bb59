/// The names of files in a Hugging Face model directory.
public enum ModelFiles {
    public static let weights = "model.safetensors"
    public static let index = "model.safetensors.index.json"
    public static let config = "config.json"
    /// The weights as PyTorch's pickles, as transformers wrote them before it knew safetensors.
    public static let pickledWeights = "pytorch_model.bin"
    public static let pickledIndex = "pytorch_model.bin.index.json"
    /// What the name of an index adds to the name of the weights.
    static let indexSuffix = ".index.json"
}
