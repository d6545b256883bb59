import Tensors

extension PyTorchFile {
    /// Reads the zip form: `NAME/data.pkl` and a record `NAME/data/KEY` for each storage.
    static func readArchive(_ file: InputFile) throws -> Description {
        let archive = try ZipArchive(file)
        let prefix = try prefix(of: archive)
        try checkByteOrder(archive, prefix, file)

        var input = PickleInput(
            try bytes(ofRecord: prefix + "data.pkl", of: archive, file, limit: PickleInterpreter.maximumLength))
        var interpreter = PickleInterpreter(.archive)
        let root = try interpreter.run(&input)
        let tensors = try PickleObjects(heap: interpreter.heap).tensors(of: root)

        var places: [String: StoragePlace] = [:]
        for storage in interpreter.heap.storages {
            let name = prefix + "data/" + storage.key
            guard let member = archive.members[name] else { throw PyTorchProblem.missingRecord(name) }
            guard member.size == storage.byteCount else {
                throw PyTorchProblem.invalidStorage(
                    key: storage.key, reason: "should have \(storage.byteCount) bytes, its record has \(member.size)")
            }
            places[storage.key] = member.isDeflated ? .deflated(member) : .file(offset: member.range.lowerBound)
        }
        return Description(tensors: tensors, storages: places)
    }

    /// The folder that all records stand in, with its slash.
    private static func prefix(of archive: ZipArchive) throws(PyTorchProblem) -> String {
        let pickles = archive.members.keys.filter { name in
            let parts = name.split(separator: "/", omittingEmptySubsequences: false)
            return parts.count == 2 && parts[1] == "data.pkl"
        }
        guard let pickle = pickles.first else { throw .missingRecord("data.pkl") }
        guard pickles.count == 1 else { throw .severalPickles(pickles.sorted()) }
        let prefix = String(pickle.dropLast("data.pkl".count))
        guard archive.members[prefix + "constants.pkl"] == nil else { throw .unknownFormat(.torchScript) }
        return prefix
    }

    /// Files from before PyTorch 2.1 have no such record, and are little-endian.
    private static func checkByteOrder(_ archive: ZipArchive, _ prefix: String, _ file: InputFile) throws {
        let name = prefix + "byteorder"
        guard archive.members[name] != nil else { return }
        let order = String(decoding: try bytes(ofRecord: name, of: archive, file, limit: 64), as: UTF8.self)
        guard order != "big" else { throw PyTorchProblem.bigEndian }
        guard order == "little" else { throw PyTorchProblem.invalidByteOrder(order) }
    }

    private static func bytes(
        ofRecord name: String, of archive: ZipArchive, _ file: InputFile, limit: Int
    ) throws -> [UInt8] {
        guard let member = archive.members[name] else { throw PyTorchProblem.missingRecord(name) }
        guard member.size <= limit else {
            throw PyTorchProblem.recordTooLarge(record: name, byteCount: member.size, limit: limit)
        }
        var bytes = [UInt8](repeating: 0, count: member.size)
        try bytes.withUnsafeMutableBytes { try ZipArchive.read(member, of: file, into: $0) }
        return bytes
    }
}
