import Tensors

/// Reads storages, tensors and state dictionaries out of a pickle's values.
struct PickleObjects {
    let heap: PickleHeap

    /// The elements of a tuple or a list.
    func elements(of value: PickleValue) -> [PickleValue]? {
        switch value {
        case .tuple(let index): heap.tuples[index]
        case .list(let index): heap.lists[index]
        default: nil
        }
    }

    private func integers(_ value: PickleValue) -> [Int]? {
        guard case .tuple(let index) = value else { return nil }
        let elements = heap.tuples[index]
        let integers = elements.compactMap(\.integer)
        return integers.count == elements.count ? integers : nil
    }

    // MARK: - Storages

    /// The storage that a persistent id stands for; `nil` when it is no storage's.
    ///
    /// - Throws: ``PyTorchProblem/invalidStorage(key:reason:)`` for impossible sizes.
    func storage(
        _ identifier: PickleValue, _ form: PickleInterpreter.StorageForm
    ) throws(PyTorchProblem) -> PyTorchStorage? {
        guard case .tuple(let tuple) = identifier else { return nil }
        let parts = heap.tuples[tuple]
        guard parts.count == (form == .legacy ? 6 : 5), case .text("storage") = parts[0],
            case .global(.storage(let dtype)) = parts[1], let key = parts[2].key, case .text = parts[3],
            let count = parts[4].integer
        else { return nil }
        let width = (dtype?.bits ?? 8) / 8
        let byteCount = try PickleObjects.byteCount(count, width, key: key)
        var view = 0..<byteCount
        if form == .legacy {
            if case .tuple(let viewTuple) = parts[5] {
                let parts = heap.tuples[viewTuple]
                guard parts.count == 3, let offset = parts[1].integer, let size = parts[2].integer else { return nil }
                let start = try PickleObjects.byteCount(offset, width, key: key)
                let length = try PickleObjects.byteCount(size, width, key: key)
                guard start <= byteCount, length <= byteCount - start else {
                    throw .invalidStorage(key: key, reason: "a view of it goes beyond its \(byteCount) bytes")
                }
                view = start..<start + length
            } else if case .none = parts[5] {
            } else {
                return nil
            }
        }
        return PyTorchStorage(key: key, dtype: dtype, byteCount: byteCount, view: view)
    }

    private static func byteCount(_ count: Int, _ width: Int, key: String) throws(PyTorchProblem) -> Int {
        let (bytes, overflow) = count.multipliedReportingOverflow(by: width)
        guard count >= 0, !overflow else {
            throw .invalidStorage(key: key, reason: "\(count) elements are no possible size")
        }
        return bytes
    }

    // MARK: - Tensors

    /// The tensor that `_rebuild_tensor`, `_v2` or `_v3` would make; `nil` for arguments that they are never saved with.
    func tensor(
        _ function: PickleGlobal.Rebuild, _ arguments: [PickleValue]
    ) throws(PyTorchProblem) -> PyTorchTensor? {
        let counts = function == .tensor ? 4...4 : function == .tensorV2 ? 6...7 : 7...8
        guard counts.contains(arguments.count), case .storage(let index) = arguments[0],
            let offset = arguments[1].integer, let shape = integers(arguments[2]), let strides = integers(arguments[3])
        else { return nil }
        let storage = heap.storages[index]
        var dtype = storage.dtype
        if function != .tensor {
            guard case .boolean = arguments[4], isEmpty(arguments[5]) else { return nil }
        }
        if function == .tensorV3 {
            guard case .global(.dtype(let given)) = arguments[6] else { return nil }
            dtype = given
        }
        guard let dtype, dtype.bits >= 8 else { return nil }
        if arguments.count == counts.upperBound, counts.count > 1,
            let bit = firstSetBit(arguments[counts.upperBound - 1])
        {
            throw .invalidTensor(
                name: nil, reason: "is a view with the property \(bit), which is not read; save it after .clone()")
        }
        return try PyTorchTensor(storage, dtype: dtype, offset: offset, shape: shape, strides: strides)
    }

    /// Whether hooks are none.
    private func isEmpty(_ value: PickleValue) -> Bool {
        switch value {
        case .none: true
        case .dictionary(let index): heap.dictionaries[index].members.isEmpty
        default: false
        }
    }

    /// A tensor's metadata says which lazy views (`conj`, `neg`) it is.
    private func firstSetBit(_ metadata: PickleValue) -> String? {
        switch metadata {
        case .none: return nil
        case .dictionary(let index):
            for (key, value) in heap.dictionaries[index].members {
                if case .boolean(false) = value { continue }
                return key.key ?? key.kind
            }
            return nil
        default: return metadata.kind
        }
    }

    // MARK: - State dictionaries

    /// The named tensors of a state_dict, in its order.
    func tensors(of root: PickleValue) throws(PyTorchProblem) -> [(name: String, tensor: PyTorchTensor)] {
        guard case .dictionary(let index) = root else { throw .notADictionary(found: root.kind) }
        var names: Set<String> = []
        var tensors: [(name: String, tensor: PyTorchTensor)] = []
        for (key, value) in heap.dictionaries[index].members {
            guard case .text(let name) = key else { throw .nameIsNoString(found: key.kind) }
            guard case .tensor(let tensor) = value else { throw .notATensor(name: name, found: value.kind) }
            let (isNew, other) = names.insert(name)
            guard isNew else {
                throw EquivalentNames(other, name).map { .equivalentNames($0) } ?? .duplicateName(name)
            }
            tensors.append((name, heap.tensors[tensor]))
        }
        return tensors
    }
}

extension PickleValue {
    var integer: Int? { if case .integer(let value) = self { value } else { nil } }

    /// A string, or a number as a string: what storages are called.
    fileprivate var key: String? {
        switch self {
        case .text(let text): text
        case .integer(let value): String(value)
        default: nil
        }
    }
}
