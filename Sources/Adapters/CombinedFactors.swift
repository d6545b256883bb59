import Checkpoints
import SystemPackage
import Tensors

/// The factors of an adapter that is made of others, as a file of its own would hold them: float32, computed when they
/// are read, and kept for a while, as factors are read in pieces.
struct CombinedFactors: CheckpointReader {
    let tensors: [LogicalTensor]
    let metadata: [String: String] = [:]
    let files: [FilePath]

    private let adapters: [LoRAAdapter]
    private let weights: [Double]
    private let combination: AdapterCombination
    private let modules: [CombinedModule]
    private let cache = DecodedCache<Int>(limit: 64 << 20)

    init(_ adapters: [LoRAAdapter], weights: [Double], combination: AdapterCombination, modules: [CombinedModule]) {
        self.adapters = adapters
        self.weights = weights
        self.combination = combination
        self.modules = modules
        files = adapters.flatMap(\.files)
        tensors = modules.flatMap { module in
            [module.a, module.b].map { LogicalTensor(name: $0.name, shape: $0.shape, encoding: .dense(.f32)) }
        }
    }

    func read(
        _ part: TensorPart, ofTensor tensor: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        let byteCount = tensors[tensor].byteCount(of: part)
        guard offset >= 0, offset <= byteCount, buffer.count <= byteCount - offset else {
            throw CheckpointError.outOfRange(
                tensor: tensors[tensor].name, part: part, range: offset..<max(offset, offset &+ buffer.count),
                byteCount: byteCount)
        }
        let bytes = try cache.bytes(tensor, byteCount: byteCount) {
            try combined(modules[tensor / 2], isA: tensor.isMultiple(of: 2)).map(\.bitPattern.littleEndian)
                .withUnsafeBytes(Array.init)
        }
        bytes.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + buffer.count]))
        }
    }

    private func combined(_ module: CombinedModule, isA: Bool) throws -> [Float] {
        let sources = module.sources.map { (adapter: $0.adapter, module: adapters[$0.adapter].modules[$0.module]) }
        let factors = try sources.map { source in
            try adapters[source.adapter].gathering.values(
                ofTensor: isA ? source.module.tensors.a : source.module.tensors.b)
        }
        if combination.method == .cat { return isA ? rows(factors, sources) : columns(factors, sources, module) }
        // The scaling goes into both factors, a sign into one.
        let factorWeights = sources.map { source in
            let weight = weights[source.adapter] * source.module.scaling
            return Float(weight.magnitude.squareRoot() * (isA && weight < 0 ? -1 : 1))
        }
        let name = isA ? module.a.name : module.b.name
        let keys = sources.map { StochasticKey(seed: combination.seed, tensorName: "\($0.adapter) \(name)") }
        return TaskArithmetic(combination: combination).combined(factors, weights: factorWeights, keys: keys)
    }

    private typealias Source = (adapter: Int, module: LoRAModule)

    /// lora_A's one below the other, each with its weight and scaling.
    private func rows(_ factors: [[Float]], _ sources: [Source]) -> [Float] {
        zip(factors, sources).flatMap { factor, source in
            factor.map { $0 * Float(weights[source.adapter]) * Float(source.module.scaling) }
        }
    }

    /// lora_B's one beside the other.
    private func columns(_ factors: [[Float]], _ sources: [Source], _ module: CombinedModule) -> [Float] {
        (0..<module.b.shape[0]).flatMap { row in
            zip(factors, sources).flatMap { factor, source in
                factor[row * source.module.rank..<(row + 1) * source.module.rank]
            }
        }
    }
}

/// A module of an adapter that is made of others.
struct CombinedModule {
    /// Its two tensors.
    let a: (name: String, shape: [Int])
    let b: (name: String, shape: [Int])
    let path: String
    /// The adapters that have the module, and its index in each.
    let sources: [(adapter: Int, module: Int)]

    var rank: Int { a.shape[0] }
}
