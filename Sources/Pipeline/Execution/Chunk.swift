import Adapters
import Checkpoints
import Quantization
import Reports
import Tensors

/// A run of consecutive elements of one tensor on its way through all operations, and the memory it needs.
///
/// A worker has one chunk and fills it again and again: nothing is allocated while a model streams through, and the
/// working set stays in the cache. Chunks start and end at granules, so every block and every nested block of every
/// encoding on the way is whole.
final class Chunk {
    /// The tensor as the input has it.
    var input = LogicalTensor(name: "", shape: [], encoding: .dense(.f32))
    /// The elements in hand.
    var range = 0..<0
    /// Elements that are never separated, and the unit in which figures are added up.
    var granule = 1
    /// How the elements are encoded now.
    var encoding = Encoding.dense(.f32)
    /// The elements as the input has them, decoded to float32.
    let base: UnsafeMutablePointer<Float>
    /// The sum of the updates merged so far; meaningful when ``hasUpdate``.
    let update: UnsafeMutablePointer<Float>
    var hasUpdate = false
    /// The elements as they are now, decoded; meaningful when `isDecoded`.
    var current: UnsafeMutablePointer<Float>
    var isDecoded = false
    /// Where operations leave decoded results.
    let working: UnsafeMutablePointer<Float>
    /// Dense elements as they are stored.
    let dense: UnsafeMutableRawPointer
    /// Packed codes as they are now.
    var codes: UnsafeMutablePointer<UInt8>
    /// The codes as the input has them, if it has codes.
    let baseCodes: UnsafeMutablePointer<UInt8>
    /// Memory for the codes to come.
    var spareCodes: (UnsafeMutablePointer<UInt8>, UnsafeMutablePointer<UInt8>)
    /// The scales of the current codes, decoded to float32.
    let scales: UnsafeMutablePointer<Float>
    /// Double-quantized scales and their own scales, as stored.
    let scaleCodes: UnsafeMutablePointer<UInt8>
    let nestedScales: UnsafeMutablePointer<Float>
    /// Whose time reading and writing take.
    let clock: WorkClock
    /// Where emissions go: one writer an output of the plan.
    let writers: [any CheckpointWriter]
    /// What emissions have found since the chunk was loaded.
    var emissions: [Emission] = []
    /// The updates of a second merge, which few pipelines have; allocated when first needed.
    lazy var laterUpdate = allocateFloats()
    /// The elements before changes that must be applied in order, and the update of one of these; allocated when first
    /// needed.
    lazy var unmerged = allocateFloats()
    lazy var single = allocateFloats()
    /// The input in float64, if that is how it is stored.
    lazy var base64: UnsafeMutablePointer<Double> = allocate(capacity * 8)
        .bindMemory(to: Double.self, capacity: capacity)

    private let capacity: Int
    private var allocations: [UnsafeMutableRawPointer]

    /// Bytes of memory for each element of capacity, an upper bound over all encodings.
    static let bytesPerElement = 3 * 4 + 8 + 2 + 1

    /// - Parameter capacity: The most elements a chunk can hold.
    init(capacity: Int, writers: [any CheckpointWriter], clock: WorkClock) {
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
        self.capacity = capacity
        self.writers = writers
        self.clock = clock
        base = floats(capacity)
        update = floats(capacity)
        working = floats(capacity)
        current = working
        dense = allocate(capacity * 8)
        baseCodes = bytes(capacity / 2 + 1)
        codes = baseCodes
        spareCodes = (bytes(capacity / 2 + 1), bytes(capacity / 2 + 1))
        scales = floats(scaleCapacity)
        scaleCodes = bytes(scaleCapacity)
        nestedScales = floats(scaleCapacity)
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

    var count: Int { range.count }
}
