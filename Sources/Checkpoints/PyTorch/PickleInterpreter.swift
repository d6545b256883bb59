/// Runs a pickle of tensors, and nothing else: the instructions that such pickles consist of are interpreted, the classes
/// and functions that they name are known by name, and no code is ever called. Everything else is an error that names it.
///
/// Memory is bounded by the pickle's length and by ``maximumValues``: lengths are compared to what is there before anything
/// is allocated, and shared values stay shared.
struct PickleInterpreter {
    /// Values that one pickle may make, remember or look through; enough for some fifty thousand tensors.
    static let maximumValues = 1 << 21
    /// Bytes of a pickle, without the storages.
    static let maximumLength = 64 << 20
    private static let maximumNameLength = 1024

    private(set) var heap = PickleHeap()
    private var stack: [PickleValue] = []
    private var marks: [Int] = []
    private var memo: [Int: PickleValue] = [:]
    private var valueCount = 0
    /// Where the current instruction stands.
    private var position = 0
    /// How persistent ids become storages; `nil` where none may stand.
    private let storageForm: StorageForm?

    /// What the persistent ids of a pickle look like.
    enum StorageForm {
        /// ("storage", class, key, location, element count)
        case archive
        /// The same, and a view: None or (key, offset, element count)
        case legacy
    }

    init(_ storageForm: StorageForm?) {
        self.storageForm = storageForm
    }

    /// Runs to the STOP instruction and returns the pickle's value; what it consists of is in ``heap``.
    mutating func run(_ input: inout PickleInput) throws -> PickleValue {
        while true {
            position = input.position
            let byte = try input.byte()
            guard let opcode = PickleOpcode(rawValue: byte) else {
                guard let name = PickleOpcode.name(of: byte) else {
                    throw malformed("\(byte) is no instruction")
                }
                throw PyTorchProblem.forbiddenOpcode(name, at: position)
            }
            if opcode == .stop {
                let value = try pop()
                guard stack.isEmpty, marks.isEmpty else { throw malformed("values are left over at its end") }
                return value
            }
            try execute(opcode, &input)
        }
    }

    private mutating func execute(_ opcode: PickleOpcode, _ input: inout PickleInput) throws {
        switch opcode {
        case .proto:
            let version = try input.unsigned(1)
            guard (2...5).contains(version) else { throw malformed("protocol \(version); 2 to 5 are read") }
        case .frame: try input.skip(8)
        case .stop: return
        case .none: try push(.none)
        case .newTrue: try push(.boolean(true))
        case .newFalse: try push(.boolean(false))
        case .binInt: try push(.integer(Int(Int32(truncatingIfNeeded: try input.unsigned(4)))))
        case .binInt1: try push(.integer(try input.unsigned(1)))
        case .binInt2: try push(.integer(try input.unsigned(2)))
        case .long1: try push(PickleInterpreter.integer(input.bytes(try input.length(1))))
        case .long4: try push(PickleInterpreter.integer(input.bytes(try input.length(4))))
        case .binFloat:
            try input.skip(8)
            try push(.real)
        case .shortBinUnicode: try push(.text(text(input.bytes(try input.length(1)))))
        case .binUnicode: try push(.text(text(input.bytes(try input.length(4)))))
        case .binUnicode8: try push(.text(text(input.bytes(try input.length(8)))))
        case .shortBinString: try push(PickleInterpreter.oldString(input.bytes(try input.length(1))))
        case .binString: try push(PickleInterpreter.oldString(input.bytes(try input.length(4))))
        case .shortBinBytes, .binBytes, .binBytes8:
            try input.skip(try input.length(opcode == .shortBinBytes ? 1 : opcode == .binBytes ? 4 : 8))
            try push(.bytes)
        case .mark:
            try count()
            marks.append(stack.count)
        case .emptyTuple: try pushTuple([])
        case .tuple: try pushTuple(popToMark())
        case .tuple1: try pushTuple(pop(1))
        case .tuple2: try pushTuple(pop(2))
        case .tuple3: try pushTuple(pop(3))
        case .emptyList:
            heap.lists.append([])
            try push(.list(heap.lists.count - 1))
        case .emptyDict: try pushDictionary(isOrdered: false)
        case .append: try append([pop()], opcode)
        case .appends: try append(popToMark(), opcode)
        case .setItem: try setItems(pop(2), opcode)
        case .setItems: try setItems(popToMark(), opcode)
        case .binPut: try remember(input.unsigned(1))
        case .longBinPut: try remember(input.unsigned(4))
        case .memoize: try remember(memo.count)
        case .binGet: try recall(input.unsigned(1))
        case .longBinGet: try recall(input.unsigned(4))
        case .global:
            let module = try text(input.line(limit: PickleInterpreter.maximumNameLength))
            let name = try text(input.line(limit: PickleInterpreter.maximumNameLength))
            try push(.global(PickleGlobal(module: module, name: name)))
        case .stackGlobal:
            guard case (.text(let module), .text(let name)) = try pair(pop(2)) else {
                throw forbidden(opcode, "names a class or function by something else than two strings")
            }
            try push(.global(PickleGlobal(module: module, name: name)))
        case .binPersID: try pushStorage(pop())
        case .reduce:
            let (function, arguments) = try pair(pop(2))
            try push(reduce(function, arguments))
        case .build: try build(state: pop())
        }
    }

    // MARK: - The stack and the memo

    private mutating func push(_ value: PickleValue) throws {
        try count()
        stack.append(value)
    }

    private mutating func count(_ values: Int = 1) throws(PyTorchProblem) {
        valueCount += values
        guard valueCount <= PickleInterpreter.maximumValues else {
            throw .tooManyValues(limit: PickleInterpreter.maximumValues)
        }
    }

    private mutating func pop() throws -> PickleValue {
        guard stack.count > marks.last ?? 0, let value = stack.popLast() else {
            throw malformed("an operand is missing")
        }
        return value
    }

    /// The last values, in the order in which they were pushed.
    private mutating func pop(_ count: Int) throws -> [PickleValue] {
        guard stack.count - count >= marks.last ?? 0 else { throw malformed("an operand is missing") }
        defer { stack.removeLast(count) }
        return Array(stack.suffix(count))
    }

    private mutating func popToMark() throws -> [PickleValue] {
        guard let mark = marks.popLast() else { throw malformed("a MARK is missing") }
        defer { stack.removeLast(stack.count - mark) }
        return Array(stack[mark...])
    }

    private mutating func pushTuple(_ elements: [PickleValue]) throws {
        heap.tuples.append(elements)
        try push(.tuple(heap.tuples.count - 1))
    }

    private mutating func pushDictionary(isOrdered: Bool) throws {
        heap.dictionaries.append(PickleHeap.Dictionary(isOrdered: isOrdered))
        try push(.dictionary(heap.dictionaries.count - 1))
    }

    private mutating func remember(_ key: Int) throws {
        guard stack.count > marks.last ?? 0, let value = stack.last else { throw malformed("an operand is missing") }
        try count()
        memo[key] = value
    }

    private mutating func recall(_ key: Int) throws {
        guard let value = memo[key] else { throw malformed("nothing is remembered under \(key)") }
        try push(value)
    }

    // MARK: - Containers

    private mutating func append(_ elements: [PickleValue], _ opcode: PickleOpcode) throws {
        guard stack.count > marks.last ?? 0, case .list(let list)? = stack.last else {
            throw forbidden(opcode, "appends to \(stack.last?.kind ?? "nothing")")
        }
        heap.lists[list] += elements
    }

    private mutating func setItems(_ elements: [PickleValue], _ opcode: PickleOpcode) throws {
        guard stack.count > marks.last ?? 0, case .dictionary(let dictionary)? = stack.last else {
            throw forbidden(opcode, "sets items of \(stack.last?.kind ?? "nothing")")
        }
        guard elements.count.isMultiple(of: 2) else { throw malformed("a key has no value") }
        for index in stride(from: 0, to: elements.count, by: 2) {
            heap.dictionaries[dictionary].members.append((elements[index], elements[index + 1]))
        }
    }

    /// Sets attributes: the versions of modules, which `state_dict()` adds to its result, and nothing else.
    private mutating func build(state: PickleValue) throws {
        guard stack.count > marks.last ?? 0, case .dictionary(let target)? = stack.last,
            heap.dictionaries[target].isOrdered
        else { throw forbidden(.build, "sets attributes of \(stack.last?.kind ?? "nothing")") }
        guard case .dictionary(let attributes) = state else {
            throw forbidden(.build, "sets attributes from \(state.kind)")
        }
        let members = heap.dictionaries[attributes].members
        // A dictionary may be used again and again: looking through it counts like making it.
        try count(members.count)
        for (key, _) in members {
            guard case .text("_metadata") = key else {
                guard case .text(let name) = key else {
                    throw forbidden(.build, "sets an attribute named by \(key.kind)")
                }
                throw forbidden(.build, "sets the attribute \"\(name)\"")
            }
        }
    }

    // MARK: - Tensors

    private mutating func pushStorage(_ identifier: PickleValue) throws {
        guard let storageForm else { throw PyTorchProblem.forbiddenOpcode(PickleOpcode.binPersID.name, at: position) }
        let storage =
            try PickleObjects(heap: heap).storage(identifier, storageForm)
            ?? {
                throw forbidden(.binPersID, "refers to something else than a storage")
            }()
        heap.storages.append(storage)
        try push(.storage(heap.storages.count - 1))
    }

    /// What a function would make of its arguments.
    private mutating func reduce(_ function: PickleValue, _ arguments: PickleValue) throws -> PickleValue {
        guard case .global(let global) = function else { throw forbidden(.reduce, "calls \(function.kind)") }
        guard case .tuple(let tuple) = arguments else { throw malformed("arguments are \(arguments.kind)") }
        let arguments = heap.tuples[tuple]
        switch global {
        case .orderedDict: return try orderedDict(arguments)
        case .size:
            guard arguments.count == 1, case .tuple = arguments[0] else {
                throw forbidden(.reduce, "makes a torch.Size of something else than a tuple")
            }
            return arguments[0]
        case .rebuild(let function):
            if let tensor = try rebuild(function, arguments) { return tensor }
            throw forbidden(.reduce, "calls \(function.rawValue) with arguments that torch.save does not write")
        case .tensorClass, .storage, .dtype: throw forbidden(.reduce, "calls a class")
        }
    }

    private mutating func orderedDict(_ arguments: [PickleValue]) throws -> PickleValue {
        var dictionary = PickleHeap.Dictionary(isOrdered: true)
        // Python 2 passes the members as a list of pairs.
        if case .list(let list)? = arguments.first, arguments.count == 1 {
            for element in heap.lists[list] {
                guard let pair = PickleObjects(heap: heap).elements(of: element), pair.count == 2 else {
                    throw forbidden(.reduce, "makes an OrderedDict of something else than pairs")
                }
                try count()
                dictionary.members.append((pair[0], pair[1]))
            }
        } else if !arguments.isEmpty {
            throw forbidden(.reduce, "makes an OrderedDict of something else than pairs")
        }
        heap.dictionaries.append(dictionary)
        return .dictionary(heap.dictionaries.count - 1)
    }

    /// The tensor that a function of `torch._utils` would make; `nil` for arguments that it is never saved with.
    private mutating func rebuild(_ function: PickleGlobal.Rebuild, _ arguments: [PickleValue]) throws -> PickleValue? {
        switch function {
        case .parameter, .parameterWithState:
            // The state holds Python attributes of the parameter, which are no part of its values.
            guard arguments.count == (function == .parameter ? 3 : 4), case .tensor = arguments[0] else { return nil }
            return arguments[0]
        case .fromTypeV2:
            guard arguments.count == 4, case .global(.rebuild(let inner)) = arguments[0], inner != .fromTypeV2,
                case .global(.tensorClass) = arguments[1], case .tuple(let tuple) = arguments[2]
            else { return nil }
            return try rebuild(inner, heap.tuples[tuple])
        case .tensor, .tensorV2, .tensorV3:
            // The metadata of views is looked through.
            if case .dictionary(let metadata)? = arguments.last {
                try count(heap.dictionaries[metadata].members.count)
            }
            do throws(PyTorchProblem) {
                guard let tensor = try PickleObjects(heap: heap).tensor(function, arguments) else { return nil }
                heap.tensors.append(tensor)
                try count(2 * tensor.shape.count)
            } catch {
                guard case .invalidTensor(_, let reason) = error else { throw error }
                throw PyTorchProblem.invalidTensor(name: nameOfNext(), reason: reason)
            }
            return .tensor(heap.tensors.count - 1)
        }
    }

    /// The key under which a tensor that is being made will stand, as far as the stack tells.
    private func nameOfNext() -> String? {
        let key = stack.last { value in if case .global = value { false } else { true } }
        guard case .text(let name)? = key else { return nil }
        return name
    }

    // MARK: - Values and errors

    private static func integer(_ bytes: [UInt8]) -> PickleValue {
        guard bytes.count <= 8 else { return .longInteger(bytes) }
        // Two's complement, sign-extended.
        var value: Int64 = bytes.last.map { $0 & 0x80 == 0 } ?? true ? 0 : -1
        for byte in bytes.reversed() { value = value << 8 | Int64(byte) }
        return .integer(Int(value))
    }

    /// A string of Python 2.
    private static func oldString(_ bytes: [UInt8]) -> PickleValue {
        String(validating: bytes, as: UTF8.self).map { .text($0) } ?? .bytes
    }

    private func text(_ bytes: [UInt8]) throws -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw malformed("a string is not UTF-8") }
        return text
    }

    private func pair(_ values: [PickleValue]) throws -> (PickleValue, PickleValue) { (values[0], values[1]) }

    private func malformed(_ reason: String) -> PyTorchProblem { .malformedPickle(reason: reason, at: position) }

    private func forbidden(_ opcode: PickleOpcode, _ reason: String) -> PyTorchProblem {
        .forbiddenUse(opcode: opcode.name, reason: reason, at: position)
    }
}
