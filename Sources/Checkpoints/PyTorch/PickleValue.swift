/// What a pickle makes. Containers stand in a ``PickleHeap``, so that values nest without pointers: however deep a hostile
/// pickle goes, and whatever circles it makes, nothing here recurses.
enum PickleValue {
    case none
    case boolean(Bool)
    case integer(Int)
    /// An integer beyond 64 bits, little-endian, two's complement.
    case longInteger([UInt8])
    case real
    case text(String)
    case bytes
    /// Indices into the heap.
    case tuple(Int)
    case list(Int)
    case dictionary(Int)
    case storage(Int)
    case tensor(Int)
    case global(PickleGlobal)

    /// The value's kind, for messages: `a list`.
    var kind: String {
        switch self {
        case .none: "None"
        case .boolean: "True or False"
        case .integer, .longInteger: "an integer"
        case .real: "a float"
        case .text: "a string"
        case .bytes: "bytes"
        case .tuple: "a tuple"
        case .list: "a list"
        case .dictionary: "a dictionary"
        case .storage: "a storage"
        case .tensor: "a tensor"
        case .global: "a class or function"
        }
    }
}

/// The containers that a pickle has made.
struct PickleHeap {
    struct Dictionary {
        var members: [(key: PickleValue, value: PickleValue)] = []
        /// An `OrderedDict`, which alone may have attributes.
        let isOrdered: Bool
    }

    var tuples: [[PickleValue]] = []
    var lists: [[PickleValue]] = []
    var dictionaries: [Dictionary] = []
    var storages: [PyTorchStorage] = []
    var tensors: [PyTorchTensor] = []
}
