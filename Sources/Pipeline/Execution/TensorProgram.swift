import Quantization
import Tensors

/// All that happens to one tensor: its operations, and how its elements are cut for them.
struct TensorProgram: Sendable {
    /// Index into the input's tensors.
    let source: Int
    let input: LogicalTensor
    let operations: [any TensorOperation]
    /// Elements that stay together: a whole number of blocks, and of nested blocks, of every encoding on the way.
    let granule: Int
    /// Elements a chunk: a whole number of granules.
    let chunkElements: Int
    let phases: [Phase]

    /// Passes over a tensor, each of which must end before the next begins.
    enum Phase: Sendable {
        /// Bytes go from reader to writers as they are.
        case copy
        /// Chunks go through the operations before `operation`, which then looks at them.
        case prepare(Preparation, operation: Int)
        /// Chunks go through all operations.
        case convert
    }

    /// The smallest granule: large enough that adding up its figures costs nothing.
    static let smallestGranule = 16384
    /// Granules that are looked at to decide about rounding, spread evenly over the tensor.
    static let sampleGranules = 32
    /// Bytes a piece when a tensor is copied.
    static let copyBytes = 1 << 20

    init(source: Int, input: LogicalTensor, operations: [any TensorOperation], targetChunkElements: Int) {
        self.source = source
        self.input = input
        self.operations = operations
        let encodings = [input.encoding] + operations.map(\.result)
        granule = encodings.map(TensorProgram.granule(of:)).reduce(TensorProgram.smallestGranule, max)
        chunkElements = max(1, targetChunkElements / granule) * granule
        let changes = operations.contains { !($0 is Emit) }
        phases =
            changes
            ? operations.enumerated().flatMap { index, operation in
                operation.preparations.map { Phase.prepare($0, operation: index) }
            } + [.convert]
            : [.copy]
    }

    /// Whether nothing changes the tensor.
    var isCopy: Bool {
        if case .copy = phases.first { true } else { false }
    }

    /// Elements that an encoding cannot separate. All sizes are powers of two, so the largest is a multiple of all.
    private static func granule(of encoding: Encoding) -> Int {
        guard let quantization = encoding.blockQuantization else { return 1 }
        let nested = quantization.doubleQuantization?.blocksize ?? 1
        return quantization.blocksize * nested
    }

    /// The number of jobs of a phase.
    func jobCount(_ phase: Phase) -> Int {
        switch phase {
        case .copy:
            input.parts.reduce(0) { $0 + TensorProgram.pieces($1.byteCount, of: TensorProgram.copyBytes) }
        case .prepare(.roundingSample, _): min(TensorProgram.sampleGranules, granuleCount)
        case .prepare, .convert: TensorProgram.pieces(input.elementCount, of: chunkElements)
        }
    }

    private var granuleCount: Int { TensorProgram.pieces(input.elementCount, of: granule) }

    private static func pieces(_ total: Int, of size: Int) -> Int { (total + size - 1) / size }

    /// The elements of a job of a phase that is no copy.
    func elements(_ phase: Phase, job: Int) -> Range<Int> {
        let total = input.elementCount
        guard case .prepare(.roundingSample, _) = phase else {
            return job * chunkElements..<min((job + 1) * chunkElements, total)
        }
        let index = job * granuleCount / jobCount(phase)
        return index * granule..<min((index + 1) * granule, total)
    }

    /// The part and its bytes that a job of a copy moves.
    func bytes(job: Int) -> (part: TensorPart, range: Range<Int>)? {
        var job = job
        for (part, byteCount) in input.parts {
            let count = TensorProgram.pieces(byteCount, of: TensorProgram.copyBytes)
            if job < count {
                let start = job * TensorProgram.copyBytes
                return (part, start..<min(start + TensorProgram.copyBytes, byteCount))
            }
            job -= count
        }
        return nil
    }
}
