import Adapters
import Checkpoints
import Quantization
import Reports
import Tensors

/// A run of consecutive elements of one tensor on its way through all operations, and the memory it needs.
///
/// A worker has one chunk and fills it again and again: nothing is allocated while a model streams through, and the
/// working set stays in the cache. Chunks start and end at granules, so every block and every nested block of every
/// encoding on the way is whole; only those that are a sample, of which nothing is written, end within a nested block.
final class Chunk {
    /// The tensor as the input has it.
    var input = LogicalTensor(name: "", shape: [], encoding: .dense(.f32))
    /// The elements in hand: of all that the tensor ever has on the way.
    var range = 0..<0
    /// How many of the elements in hand, from the first, the tensor has now. A matrix that gets other rows has fewer, or none, where it
    /// ends; and more or less after that.
    var count = 0
    /// Elements that are never separated, and the unit in which figures are added up.
    var granule = 1
    /// How many of them, from the first, the input has.
    var storedCount = 0
    /// The elements as the input has them, decoded to float32, then zeros; meaningful when ``isBaseDecoded``. This and the rest of the
    /// input stay as they are, for every branch that the chunk goes through.
    let base: UnsafeMutablePointer<Float>
    var isBaseDecoded = false
    /// The input as it is stored: in ``inputMemory``, or where it is held between passes.
    var baseParts: ChunkParts
    /// Where input is read into.
    let inputMemory: ChunkParts
    /// Where the chunk's input and scales are held between passes, if they are.
    var held: HeldInput?
    /// How the elements are encoded now.
    var encoding = Encoding.dense(.f32)
    /// The elements as they are now, in their encoding.
    var parts: ChunkParts
    /// Where operations leave encoded results.
    let ownParts: ChunkParts
    /// The sum of the updates merged so far; meaningful when ``hasUpdate``.
    let update: UnsafeMutablePointer<Float>
    var hasUpdate = false
    /// The elements as they are now, decoded; meaningful when `isDecoded`.
    var current: UnsafeMutablePointer<Float>
    var isDecoded = false
    /// Where operations leave decoded results.
    let working: UnsafeMutablePointer<Float>
    /// Whether error sums are wanted of finite codes, too.
    var isMeasured = true
    /// The error sums of each granule, where the last operation has added them up on the way; none where they are not wanted. See
    /// `errorSums()`.
    var measured: [ErrorSums]?
    /// Scales before they are double-quantized.
    let exactScales: UnsafeMutablePointer<Float>
    /// Memory for codes beside ``ownParts``, for when codes are made from codes.
    let otherCodes: UnsafeMutablePointer<UInt8>
    /// Whose time reading and writing take.
    let clock: WorkClock
    /// Where emissions of the branch in hand go: one writer an output of its plan.
    var writers: [any CheckpointWriter] = []
    /// What emissions have found in the branch in hand.
    var emissions: [Emission] = []
    /// The updates of a second merge, which few pipelines have; allocated when first needed.
    lazy var laterUpdate = allocateFloats()
    /// The elements before changes that must be applied in order, and the update of one of these; allocated when first
    /// needed.
    lazy var unmerged = allocateFloats()
    lazy var single = allocateFloats()

    private let capacity: Int
    private var allocations: [UnsafeMutableRawPointer]

    /// Bytes of memory for each element of capacity, an upper bound over all encodings, but for what is allocated when it is needed.
    static let bytesPerElement = 3 * 4 + 8 + 4 + 2 + 1

    /// - Parameter capacity: The most elements a chunk can hold.
    init(capacity: Int, clock: WorkClock) {
        var pool: [UnsafeMutableRawPointer] = []
        func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
            let memory = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 64), alignment: 64)
            pool.append(memory)
            return memory
        }
        func floats(_ count: Int) -> UnsafeMutablePointer<Float> {
            allocate(count * 4).bindMemory(to: Float.self, capacity: count)
        }
        func bytes(_ count: Int) -> UnsafeMutablePointer<UInt8> {
            allocate(count).bindMemory(to: UInt8.self, capacity: count)
        }
        let scaleCapacity = capacity / BlockQuantization.validBlocksizes[0] + 1
        func parts(denseWidth: Int) -> ChunkParts {
            ChunkParts(
                dense: allocate(capacity * denseWidth), codes: bytes(capacity / 2 + 1), scales: floats(scaleCapacity),
                scaleCodes: bytes(scaleCapacity), nestedScales: floats(scaleCapacity))
        }
        self.capacity = capacity
        self.clock = clock
        base = floats(capacity)
        update = floats(capacity)
        working = floats(capacity)
        current = working
        // No operation makes elements wider than float32.
        inputMemory = parts(denseWidth: 8)
        baseParts = inputMemory
        self.parts = inputMemory
        ownParts = parts(denseWidth: 4)
        otherCodes = bytes(capacity / 2 + 1)
        exactScales = floats(scaleCapacity)
        allocations = pool
    }

    private func allocateFloats() -> UnsafeMutablePointer<Float> {
        allocate(capacity * 4).bindMemory(to: Float.self, capacity: capacity)
    }

    private func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 64), alignment: 64)
        allocations.append(memory)
        return memory
    }

    deinit {
        for allocation in allocations { allocation.deallocate() }
    }

    /// The elements in hand that the tensor has now.
    var present: Range<Int> { range.prefix(count) }
}
