import SystemPackage

/// The formats of files that hold weights by name.
enum WeightsFormat {
    case safetensors
    case pyTorch

    /// The format that a file's name tells: `.bin`, `.pt` and `.pth` are PyTorch's, anything else is safetensors.
    init(fileName: String) {
        self = [".bin", ".pt", ".pth"].contains { fileName.hasSuffix($0) } ? .pyTorch : .safetensors
    }

    /// Opens a file and checks it completely.
    func open(_ path: FilePath) throws -> any WeightsFile {
        switch self {
        case .safetensors: try SafetensorsFile(path: path)
        case .pyTorch: try PyTorchFile(path: path)
        }
    }
}
