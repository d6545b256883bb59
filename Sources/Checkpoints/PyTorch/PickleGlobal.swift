import Tensors

/// The classes and functions that pickles of tensors name, and the only ones that may be named. None is ever called: the
/// interpreter knows what they would make.
enum PickleGlobal: Hashable {
    case orderedDict
    /// `torch.Size`.
    case size
    /// `torch.Tensor`, `torch.nn.parameter.Parameter`: what a rebuilt tensor is said to be.
    case tensorClass
    /// A typed storage; `nil` for the untyped one.
    case storage(DType?)
    case dtype(DType)
    case rebuild(Rebuild)

    /// Functions of `torch._utils` that make a tensor.
    enum Rebuild: String, Hashable {
        /// (storage, offset, size, stride)
        case tensor = "_rebuild_tensor"
        /// (storage, offset, size, stride, requires_grad, hooks[, metadata])
        case tensorV2 = "_rebuild_tensor_v2"
        /// (untyped storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])
        case tensorV3 = "_rebuild_tensor_v3"
        /// (tensor, requires_grad, hooks)
        case parameter = "_rebuild_parameter"
        /// (tensor, requires_grad, hooks, state)
        case parameterWithState = "_rebuild_parameter_with_state"
        /// `torch._tensor._rebuild_from_type_v2`: (function, class, arguments, state)
        case fromTypeV2 = "_rebuild_from_type_v2"
    }

    /// - Throws: ``PyTorchProblem/forbiddenGlobal(_:)`` for anything that tensors do not need,
    ///   ``PyTorchProblem/unsupportedDType(_:)`` for tensors' types that safetensors does not have.
    init(module: String, name: String) throws(PyTorchProblem) {
        let path = module + "." + name
        if let known = PickleGlobal.known[path] {
            self = known
        } else if module == "torch", !name.contains("."), let dtype = DType(torchName: name) {
            self = .dtype(dtype)
        } else if PickleGlobal.unsupportedTypes.contains(path) {
            throw .unsupportedDType(path)
        } else {
            throw .forbiddenGlobal(path)
        }
    }

    private static let known: [String: PickleGlobal] = {
        var known: [String: PickleGlobal] = [
            "collections.OrderedDict": .orderedDict, "torch.Size": .size, "torch.Tensor": .tensorClass,
            "torch.nn.parameter.Parameter": .tensorClass, "torch.storage.UntypedStorage": .storage(nil),
            "torch.UntypedStorage": .storage(nil), "torch._tensor._rebuild_from_type_v2": .rebuild(.fromTypeV2),
        ]
        let storages: [String: DType] = [
            "Double": .f64, "Float": .f32, "Half": .f16, "BFloat16": .bf16, "Long": .i64, "Int": .i32, "Short": .i16,
            "Char": .i8, "Byte": .u8, "Bool": .bool, "ComplexFloat": .c64,
        ]
        for (name, dtype) in storages {
            known["torch.\(name)Storage"] = .storage(dtype)
            known["torch.cuda.\(name)Storage"] = .storage(dtype)
        }
        for function in [Rebuild.tensor, .tensorV2, .tensorV3, .parameter, .parameterWithState] {
            known["torch._utils.\(function.rawValue)"] = .rebuild(function)
        }
        return known
    }()

    private static let unsupportedTypes: Set<String> = [
        "torch.ComplexDoubleStorage", "torch.QInt8Storage", "torch.QInt32Storage", "torch.QUInt8Storage",
        "torch.QUInt4x2Storage", "torch.QUInt2x4Storage", "torch.complex32", "torch.complex128", "torch.qint8",
        "torch.quint8", "torch.qint32", "torch.quint4x2", "torch.quint2x4", "torch.float4_e2m1fn_x2",
    ]
}
