import Tensors

extension PyTorchFile {
    /// The first pickle of the older form: 0x1950A86A20F9469CFC6C, little-endian.
    private static let magicNumber: [UInt8] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
    private static let protocolVersion = 1001

    /// Reads the form before PyTorch 1.6: pickles of a magic number, the protocol's version, facts about the machine, the
    /// dictionary and the list of storages; then for each storage its element count (int64) and its data.
    static func readLegacy(_ file: InputFile) throws -> Description {
        var input = PickleInput(file, limit: PickleInterpreter.maximumLength)
        guard case .longInteger(let magic) = try value(&input).root, magic == magicNumber else {
            throw PyTorchProblem.unknownFormat(.other)
        }
        guard case .integer(protocolVersion) = try value(&input).root else {
            throw PyTorchProblem.unknownFormat(.other)
        }
        let machine = try value(&input)
        guard case .dictionary(let facts) = machine.root else { throw PyTorchProblem.unknownFormat(.other) }
        for (key, fact) in machine.heap.dictionaries[facts].members {
            if case .text("little_endian") = key, case .boolean(false) = fact { throw PyTorchProblem.bigEndian }
        }

        var interpreter = PickleInterpreter(.legacy)
        let root = try interpreter.run(&input)
        let tensors = try PickleObjects(heap: interpreter.heap).tensors(of: root)
        let order = try value(&input)
        guard let keys = PickleObjects(heap: order.heap).elements(of: order.root) else {
            throw PyTorchProblem.dataSize(reason: "the list of storages is \(order.root.kind)")
        }
        let places = try place(
            keys.map { $0.text ?? "" }, sizes: sizes(of: interpreter.heap.storages), in: file, from: input.position)
        return Description(tensors: tensors, storages: places)
    }

    private static func value(_ input: inout PickleInput) throws -> (root: PickleValue, heap: PickleHeap) {
        var interpreter = PickleInterpreter(nil)
        return (try interpreter.run(&input), interpreter.heap)
    }

    /// The size of each storage that the dictionary refers to, and of its elements, in bytes.
    private static func sizes(
        of storages: [PyTorchStorage]
    ) throws(PyTorchProblem) -> [String: (byteCount: Int, width: Int)] {
        var sizes: [String: (byteCount: Int, width: Int)] = [:]
        for storage in storages {
            if let known = sizes[storage.key] {
                guard known.byteCount == storage.byteCount else {
                    throw .invalidStorage(
                        key: storage.key, reason: "has \(known.byteCount) bytes here and \(storage.byteCount) there")
                }
            } else {
                // The file counts in elements of the type under which a storage was saved first.
                sizes[storage.key] = (storage.byteCount, (storage.dtype?.bits ?? 8) / 8)
            }
        }
        return sizes
    }

    /// Finds the storages one behind the other, down to the end of the file.
    private static func place(
        _ keys: [String], sizes: [String: (byteCount: Int, width: Int)], in file: InputFile, from start: Int
    ) throws -> [String: StoragePlace] {
        var places: [String: StoragePlace] = [:]
        var position = start
        for key in keys {
            guard let size = sizes[key] else {
                throw PyTorchProblem.invalidStorage(key: key, reason: "is listed, but belongs to no tensor")
            }
            guard file.size - position >= 8 else { throw truncated(by: 8 - (file.size - position)) }
            let count = try file.bytes(position..<position + 8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            position += 8
            guard count == UInt64(size.byteCount / size.width) else {
                throw PyTorchProblem.invalidStorage(
                    key: key, reason: "should have \(size.byteCount / size.width) elements, the file has \(count)")
            }
            guard size.byteCount <= file.size - position else {
                throw truncated(by: size.byteCount - (file.size - position))
            }
            guard places.updateValue(.file(offset: position), forKey: key) == nil else {
                throw PyTorchProblem.invalidStorage(key: key, reason: "is listed twice")
            }
            position += size.byteCount
        }
        if let missing = sizes.keys.sorted().first(where: { places[$0] == nil }) {
            throw PyTorchProblem.invalidStorage(key: missing, reason: "is used, but not in the file")
        }
        guard position == file.size else {
            throw PyTorchProblem.dataSize(reason: "the file has \(file.size - position) bytes behind its last storage")
        }
        return places
    }

    private static func truncated(by count: Int) -> PyTorchProblem {
        .dataSize(reason: "the file is truncated: \(count) bytes are missing at its end; download or copy it again")
    }
}

extension PickleValue {
    fileprivate var text: String? { if case .text(let text) = self { text } else { nil } }
}
