import LosslessJSON
import SystemPackage
import Tensors

/// Reads an NF4 container: a whole model in one file, losslessly compressed (formats/nf4-container.md).
///
/// Opening reads the header and the index. Reading decompresses the pieces that hold what is asked for; a whole piece
/// (see ``pieceElements(ofTensor:)``) goes straight into the caller's memory, ranges inside one through a small cache.
public struct NF4ContainerReader: CheckpointReader {
    public let tensors: [LogicalTensor]
    public let metadata: [String: String]
    public let files: [FilePath]
    /// The adapters inside, with names and sizes of their tensors; see ``checkpoint(ofAdapter:)`` for the data.
    public let adapters: [NF4ContainerAdapter]
    /// The names of the side files inside, such as `config.json` and `tokenizer.json`.
    public let sideFiles: [String]
    /// Whether streams are stored uncompressed and aligned (`compression: none`).
    public let isAligned: Bool

    let store: ContainerStore

    /// Opens a container.
    ///
    /// - Throws: ``CheckpointError/invalidContainer(file:problem:)`` when it is none, or damaged; ``Tensors/FileError``
    ///   when it cannot be read.
    public init(path: FilePath) throws {
        store = try ContainerStore(path: path)
        let index = store.index
        tensors = Array(index.items[index.modelRange])
        metadata = index.metadata
        files = [path]
        adapters = index.adapters
        sideFiles = index.items[index.sideFileRange].map(\.name)
        isAligned = store.header.isAligned
    }

    /// Whether a file starts like a container, so that a reader can be chosen by content, not by suffix.
    public static func recognizes(_ firstBytes: some Collection<UInt8>) -> Bool {
        NF4ContainerFormat.sealed.recognizes(firstBytes)
    }

    public func read(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        try store.read(part, ofItem: tensor, at: offset, into: buffer)
    }

    /// Elements of a tensor that are compressed together. Reading whole pieces, from a multiple of this on, avoids copies
    /// and decodes nothing twice.
    public func pieceElements(ofTensor tensor: Int) -> Int {
        let item = tensors[tensor]
        let log2 = store.index.pieceSizeLog2
        let size = PieceGeometry(item.encoding, pieceSizeLog2: log2).byteCount(of: item.mainPart, item.encoding)
        return size * 8 / (item.encoding.denseDType?.bits ?? 4)
    }

    /// The tensors of an adapter as a checkpoint of their own, like the adapter's `adapter_model.safetensors`.
    ///
    /// - Parameter adapter: Index into ``adapters``.
    public func checkpoint(ofAdapter adapter: Int) -> NF4ContainerAdapterReader {
        let firstTensor = adapters[..<adapter].reduce(store.index.adapterRange.lowerBound) { $0 + $1.tensors.count }
        return NF4ContainerAdapterReader(tensors: adapters[adapter].tensors, firstItem: firstTensor, store: store)
    }

    /// The bytes of a side file; `nil` if there is none of this name.
    public func sideFile(_ name: String) throws -> [UInt8]? {
        guard let position = sideFiles.firstIndex(where: { $0.utf8.elementsEqual(name.utf8) }) else { return nil }
        return try store.bytes(ofItem: store.index.sideFileRange.lowerBound + position)
    }

    /// Where the contents came from, as the writer told; `nil` if it did not.
    public func provenance() throws -> JSONValue? {
        guard let item = store.index.provenanceItem else { return nil }
        let bytes = try store.bytes(ofItem: item)
        do throws(JSONParseError) {
            return try JSONValue(parsing: bytes, maximumDepth: 64)
        } catch {
            throw CheckpointError.invalidContainer(
                file: store.file.path, problem: .file(.invalidIndex(reason: "the provenance is no JSON: \(error)")))
        }
    }
}

/// The tensors of an adapter inside a container.
public struct NF4ContainerAdapterReader: CheckpointReader {
    public let tensors: [LogicalTensor]
    public var metadata: [String: String] { [:] }
    public var files: [FilePath] { [store.file.path] }

    let firstItem: Int
    let store: ContainerStore

    public func read(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        try store.read(part, ofItem: firstItem + tensor, at: offset, into: buffer)
    }
}
