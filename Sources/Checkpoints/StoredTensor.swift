import Tensors

/// A tensor as one of a checkpoint's files stores it: a dense logical tensor, or a piece of a quantized one.
struct StoredTensor: Sendable {
    let entry: WeightsEntry
    /// Index into the checkpoint's files.
    let file: Int
    /// Index into the file's contents.
    let index: Int
}

/// A logical tensor and where its parts lie.
struct LocatedTensor: Sendable {
    let tensor: LogicalTensor
    /// The values of a dense tensor, the codes of a quantized one.
    let main: StoredTensor
    var absmax: StoredTensor?
    var nestedAbsmax: StoredTensor?

    func location(of part: TensorPart) -> StoredTensor? {
        switch part {
        case .values: tensor.encoding.denseDType == nil ? nil : main
        case .codes: tensor.encoding.denseDType == nil ? main : nil
        case .absmax: absmax
        case .nestedAbsmax: nestedAbsmax
        }
    }
}
