import Quantization
import Tensors

/// All that happens to one tensor in one branch: its operations, and how its elements are cut for them.
struct TensorProgram: Sendable {
    let source: TensorSource
    let input: LogicalTensor
    let operations: [any TensorOperation]
    /// The most elements that the tensor has on the way.
    let elementCount: Int
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

        /// How the elements are cut into jobs.
        var cut: Cut {
            switch self {
            case .copy: .copy
            case .prepare(.roundingSample, _): .sample
            case .prepare, .convert: .chunks
            }
        }
    }

    /// The ways to cut a tensor into jobs.
    enum Cut: Hashable, Sendable {
        /// Into large pieces that nothing looks at.
        case copy
        /// Stretches at the start of some granules, which are few enough for one job.
        case sample
        /// Into chunks.
        case chunks
    }

    /// The smallest granule: large enough that adding up its figures costs nothing.
    static let smallestGranule = 16384
    /// Elements a chunk when a tensor is only copied: few enough for a core's own cache on the way from file to file.
    static let copyElements = 1 << 17
    /// The places that are looked at to decide about rounding, spread evenly over the tensor: more in a large one, where they
    /// are few of its rows.
    private static let samplePlaces = 4...16
    private static let granulesAPlace = 32
    /// Elements that are looked at in each place, at most a granule and a multiple of every block size.
    private static let sampleElements = 4096

    init(source: TensorSource, input: LogicalTensor, operations: [any TensorOperation], targetChunkElements: Int) {
        self.source = source
        self.input = input
        self.operations = operations
        elementCount = operations.compactMap { $0.resultShape?.reduce(1, *) }.reduce(input.elementCount, max)
        let encodings = [input.encoding] + operations.map(\.result)
        granule = encodings.map(\.granule).reduce(TensorProgram.smallestGranule, max)
        let changes = operations.contains { !($0 is Emit) }
        let target = changes ? targetChunkElements : TensorProgram.copyElements
        chunkElements = TensorProgram.chunkElements(granule: granule, columns: input.shape.last ?? 1, target: target)
        phases =
            changes
            ? operations.enumerated().flatMap { index, operation in
                operation.preparations.map { Phase.prepare($0, operation: index) }
            } + [.convert]
            : [.copy]
    }

    /// About as many elements as `target`, in whole granules; and in whole rows where that makes less than an eighth of a
    /// difference, as the update of a part of a row takes longer.
    private static func chunkElements(granule: Int, columns: Int, target: Int) -> Int {
        let granules = max(1, target / granule) * granule
        // Of a tensor without elements they may be as many as an integer holds.
        guard 1...target ~= columns else { return granules }
        let rows = granule / greatestCommonDivisor(granule, columns) * columns
        let nearest = (target + rows / 2) / rows * rows
        return abs(nearest - target) <= target / 8 ? nearest : granules
    }

    private static func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
        b == 0 ? a : greatestCommonDivisor(b, a % b)
    }

    /// Whether nothing changes the tensor.
    var isCopy: Bool {
        if case .copy = phases.first { true } else { false }
    }

    /// What the operations know where nothing has been loaded.
    var noFacts: [OperationFacts] { operations.map { _ in OperationFacts() } }

    /// The most bytes that a chunk of the input takes in one part.
    var chunkBytes: Int {
        input.encoding.byteRanges(of: 0..<min(chunkElements, input.elementCount)).map(\.bytes.count).max() ?? 0
    }

    /// The number of jobs of a cut.
    func jobCount(_ cut: Cut) -> Int {
        switch cut {
        case .sample: min(1, elementCount)
        case .copy, .chunks: TensorProgram.pieces(elementCount, of: chunkElements)
        }
    }

    private var sampledPlaces: Int {
        let places = TensorProgram.samplePlaces
        let wanted = min(max(granuleCount / TensorProgram.granulesAPlace, places.lowerBound), places.upperBound)
        return min(wanted, granuleCount)
    }

    private var granuleCount: Int { TensorProgram.pieces(elementCount, of: granule) }

    private static func pieces(_ total: Int, of size: Int) -> Int { (total + size - 1) / size }

    /// The elements of a job of a cut: for a sample several stretches.
    func stretches(_ cut: Cut, job: Int) -> [Range<Int>] {
        guard cut == .sample else {
            return [job * chunkElements..<min((job + 1) * chunkElements, elementCount)]
        }
        return (0..<sampledPlaces).map { place in
            let start = place * granuleCount / sampledPlaces * granule
            return start..<min(start + TensorProgram.sampleElements, elementCount)
        }
    }
}
