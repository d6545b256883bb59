/// The names of files in a Hugging Face model directory.
public enum ModelFiles {
    public static let weights = "model.safetensors"
    public static let index = "model.safetensors.index.json"
    public static let config = "config.json"
}
