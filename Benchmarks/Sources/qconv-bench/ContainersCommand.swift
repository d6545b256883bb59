import ArgumentParser
import Checkpoints
import Dispatch
import Synchronization
import SystemPackage
import Tensors

/// Times writing and reading a model as safetensors and as a container, from and to memory.
struct ContainersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "containers", abstract: "Times writing and reading a model as safetensors and as a container.")

    @Argument(help: "A model: directory, .safetensors file or container. It is held in memory.")
    var model: String

    @Option(help: "Where the files are written.")
    var directory = "."

    @Option(help: "How often each is timed, in turns.")
    var runs = 5

    func run() throws {
        let contents = try ModelContents(ModelDirectory(path: FilePath(model)).reader)
        print(
            "\(model): \(contents.decodedBytes / 1_000_000) MB decoded; GB/s of decoded data, median of \(runs) (min-max)"
        )
        print("format".padded(to: 16), "bytes".padded(to: 12), "threads ", "write".padded(to: 22), "read")
        var times: [String: [(write: Double, read: Double)]] = [:]
        var sizes: [String: Int] = [:]
        for _ in 0..<runs {
            for format in StoredFormat.allCases {
                for threads in [1, 2] {
                    let path = FilePath(directory).appending("containers-benchmark.\(format.suffix)")
                    let write = try seconds { try contents.write(format, to: path, threads: threads) }
                    let read = try seconds { try contents.checkReadable(path, threads: threads) }
                    times["\(format) \(threads)", default: []].append((write, read))
                    sizes[format.rawValue] = try InputFile(path: path).size
                }
            }
        }
        for format in StoredFormat.allCases {
            for threads in [1, 2] {
                let all = times["\(format) \(threads)"] ?? []
                print(
                    format.rawValue.padded(to: 16), "\(sizes[format.rawValue] ?? 0)".padded(to: 12),
                    "\(threads)       ",
                    rate(all.map(\.write), contents.decodedBytes).padded(to: 22),
                    rate(all.map(\.read), contents.decodedBytes))
            }
        }
    }

    private func seconds(_ body: () throws -> Void) rethrows -> Double {
        let clock = ContinuousClock()
        let start = clock.now
        try body()
        return (clock.now - start) / .seconds(1)
    }

    private func rate(_ seconds: [Double], _ bytes: Int) -> String {
        let rates = seconds.map { Double(bytes) / $0 * 1e-9 }.sorted().map { "\(($0 * 100).rounded() / 100)" }
        guard let least = rates.first, let most = rates.last else { return "" }
        return "\(rates[rates.count / 2]) (\(least)-\(most))"
    }
}

/// The formats that are compared.
enum StoredFormat: String, CaseIterable {
    case safetensors
    case containerZlib = "nf4 zlib"
    case containerNone = "nf4 none"

    var suffix: String { self == .safetensors ? "safetensors" : "nf4" }
}

/// A model's data in memory.
struct ModelContents: Sendable {
    /// A run of elements that a thread writes or reads at once.
    struct Piece: Sendable {
        let tensor: Int
        let range: Range<Int>
    }

    /// Weights that a container compresses together.
    static let pieceElements = 1 << 21

    let tensors: [LogicalTensor]
    let data: [[TensorPart: [UInt8]]]
    let pieces: [Piece]

    init(_ reader: any CheckpointReader) throws {
        tensors = reader.tensors
        data = try tensors.indices.map { tensor in
            var parts: [TensorPart: [UInt8]] = [:]
            for (part, byteCount) in reader.tensors[tensor].parts {
                var bytes = [UInt8](repeating: 0, count: byteCount)
                try bytes.withUnsafeMutableBytes { try reader.read(part, ofTensor: tensor, at: 0, into: $0) }
                parts[part] = bytes
            }
            return parts
        }
        pieces = tensors.enumerated().flatMap { index, tensor in
            stride(from: 0, to: tensor.elementCount, by: ModelContents.pieceElements).map { start in
                Piece(tensor: index, range: start..<min(start + ModelContents.pieceElements, tensor.elementCount))
            }
        }
    }

    /// Bytes of the model when 4-bit weights are bf16.
    var decodedBytes: Int {
        tensors.reduce(0) { sum, tensor in
            sum + (tensor.encoding.denseDType?.byteCount(elements: tensor.elementCount) ?? tensor.elementCount * 2)
        }
    }

    func write(_ format: StoredFormat, to path: FilePath, threads: Int) throws {
        let writer: any CheckpointWriter =
            switch format {
            case .safetensors: try SafetensorsCheckpointWriter(destination: path, tensors: tensors, force: true)
            case .containerZlib: try NF4ContainerWriter(destination: path, tensors: tensors, force: true)
            case .containerNone:
                try NF4ContainerWriter(destination: path, tensors: tensors, compression: .none, force: true)
            }
        try onThreads(threads) { piece in
            for (part, bytes) in tensors[piece.tensor].encoding.byteRanges(of: piece.range) {
                try data[piece.tensor][part]?.withUnsafeBytes { all in
                    try writer.write(
                        UnsafeRawBufferPointer(rebasing: all[bytes]), part: part, ofTensor: piece.tensor,
                        at: bytes.lowerBound)
                }
            }
        }
        try writer.commit()
    }

    func checkReadable(_ path: FilePath, threads: Int) throws {
        let reader = try ModelDirectory(path: path).reader
        try onThreads(threads) { piece in
            for (part, bytes) in reader.tensors[piece.tensor].encoding.byteRanges(of: piece.range) {
                try withUnsafeTemporaryAllocation(byteCount: bytes.count, alignment: 64) { buffer in
                    try reader.read(part, ofTensor: piece.tensor, at: bytes.lowerBound, into: buffer)
                }
            }
        }
    }

    private func onThreads(_ threads: Int, _ body: @escaping @Sendable (Piece) throws -> Void) throws {
        let next = Atomic(0)
        let failure = Mutex<(any Error)?>(nil)
        DispatchQueue.concurrentPerform(iterations: threads) { _ in
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < pieces.count else { return }
                do {
                    try body(pieces[index])
                } catch {
                    failure.withLock { $0 = $0 ?? error }
                    return
                }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }
}
