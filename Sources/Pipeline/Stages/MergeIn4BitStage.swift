import Quantization
import Reports
import SystemPackage
import Tensors

/// `merge-in-4bit`: 4-bit weights and all their updates become 4-bit weights, rounded once.
struct MergeIn4BitStage: Stage {
    static let op = "merge-in-4bit"
    static let summary = "Merges all attached updates into 4-bit weights, rounding once."
    static let keys = [
        SpecKey(
            "rounding", .choice(Rounding.allCases.map(\.rawValue)), default: "auto",
            "nearest: as PEFT, loses small updates. stochastic: unbiased, keeps them. auto: nearest for a tensor where that keeps at least 0.9 of the update, else stochastic."
        ),
        SpecKey(
            "scales", .choice(Scales.allCases.map(\.rawValue)), default: "base",
            "base: the scales stay as they are, so codes that do not move stay identical. fresh: new ones are made, as PEFT does."
        ),
        SpecKey("seed", .integer, default: 0, "The seed of stochastic rounding."),
    ]

    enum Rounding: String, CaseIterable, Sendable {
        case nearest, stochastic, auto
    }

    enum Scales: String, CaseIterable, Sendable {
        case base, fresh
    }

    let rounding: Rounding
    let scales: Scales
    let seed: UInt64

    init(_ arguments: SpecObject, directory: FilePath) throws(SpecError) {
        rounding = try arguments.choice("rounding", Rounding.self)
        scales = try arguments.choice("scales", Scales.self)
        seed = UInt64(arguments.int("seed") ?? 0)
    }

    func plan(_ model: inout PlannedModel, place: String) throws {
        try model.requireUpdates(place: place)
        let withUpdates = model.tensors.indices.filter { !model.tensors[$0].pendingUpdates.isEmpty }
        guard withUpdates.contains(where: { model.tensors[$0].tensor.encoding.blockQuantization != nil }) else {
            throw PlanError(
                place: place, problem: "no weight that the adapter updates is 4-bit at this point",
                remedy: "use \"dequantize-merge\" for dense weights, or put a \"quantize\" step before this one")
        }
        var denseNames: [String] = []
        for index in withUpdates {
            let planned = model.tensors[index]
            switch planned.tensor.encoding {
            case .blockQuantized(let base):
                model.tensors[index].append(
                    MergeIn4Bit(
                        encoding: encoding(base), base: base, scales: scales, rounding: rounding,
                        key: StochasticKey(seed: seed, tensorName: planned.tensor.name),
                        updates: planned.pendingUpdates))
            case .dense(let dtype):
                // What PEFT does too: a dense weight among 4-bit ones (an output head, say) keeps its dtype.
                denseNames.append(planned.tensor.name)
                model.tensors[index].append(
                    try MergeDense(
                        denseBase: dtype, asked: nil, name: planned.tensor.name, updates: planned.pendingUpdates,
                        place: place))
            }
            model.tensors[index].pendingUpdates = []
        }
        if !denseNames.isEmpty {
            model.warnings.append(
                "\(place): \(denseNames.count) dense weights are merged in their own dtype: \(wordList(denseNames, "and"))"
            )
        }
    }

    /// The merged weight's encoding. With fresh scales it is float32 that was quantized, as PEFT's quant state then says.
    private func encoding(_ base: BlockQuantization) -> BlockQuantization {
        guard scales == .fresh else { return base }
        return BlockQuantization(
            quantType: base.quantType, blocksize: base.blocksize, dtype: .f32,
            doubleQuantization: base.doubleQuantization.map { _ in DoubleQuantization() },
            storage: base.storage?.forNewCodes)
    }
}

extension PlannedModel {
    /// Makes sure that there is something to merge.
    func requireUpdates(place: String) throws(PlanError) {
        guard !tensors.contains(where: { !$0.pendingUpdates.isEmpty }) else { return }
        throw PlanError(
            place: place,
            problem: adapters.isEmpty ? "no adapter is attached" : "every attached update has been merged already",
            remedy: "put {\"op\": \"attach-adapter\", \"path\": \"…\"} before this step")
    }
}

/// Merges updates into codes.
struct MergeIn4Bit: TensorOperation {
    /// *auto* takes nearest rounding where that keeps at least this share of the update: beyond it nearest has less noise
    /// than stochastic rounding and loses little (measured: see the survival table in the README).
    static let nearestKeepsEnough = 0.9

    let encoding: BlockQuantization
    let base: BlockQuantization
    let scales: MergeIn4BitStage.Scales
    let rounding: MergeIn4BitStage.Rounding
    let key: StochasticKey
    let updates: [PendingUpdate]

    var result: Encoding { .blockQuantized(encoding) }

    var preparations: [Preparation] {
        (rounding == .auto ? [.roundingSample] : [])
            + (scales == .fresh && encoding.doubleQuantization != nil ? [.scaleMean] : [])
    }

    func apply(to chunk: Chunk, facts: OperationFacts) throws {
        merge(chunk, facts: facts, rounding: rule(facts))
    }

    func observe(_ preparation: Preparation, in chunk: Chunk, facts: OperationFacts) throws -> [Observation] {
        switch preparation {
        case .roundingSample:
            merge(chunk, facts: facts, rounding: .nearest)
            return chunk.errorSums().map { .sums($0) }
        case .scaleMean:
            return chunk.scaleSums(of: exactSum(chunk, facts: facts), blocksize: encoding.blocksize)
        }
    }

    func conclude(_ preparation: Preparation, from observations: FoldedObservations, into facts: inout OperationFacts) {
        switch preparation {
        case .roundingSample:
            let sums = observations.sums
            let keepsEnough = sums.changeDotUpdate >= MergeIn4Bit.nearestKeepsEnough * sums.squaredUpdate
            facts.rounding = keepsEnough ? .nearest : .stochastic(key)
        case .scaleMean:
            facts.concludeScaleMean(from: observations)
        }
    }

    func roundingUsed(_ facts: OperationFacts) -> RoundingRule? { rule(facts) }

    private func rule(_ facts: OperationFacts) -> RoundingRule {
        switch rounding {
        case .nearest: .nearest
        case .stochastic: .stochastic(key)
        case .auto: facts.rounding ?? .stochastic(key)
        }
    }

    private func merge(_ chunk: Chunk, facts: OperationFacts, rounding: RoundingRule) {
        switch scales {
        case .base:
            chunk.moveCodes(by: chunk.addUpdates(facts.updates), result: encoding, rounding: rounding)
        case .fresh:
            chunk.become(
                quantized: encoding, values: exactSum(chunk, facts: facts), rounding: rounding,
                scaleOffset: facts.scaleOffset)
        }
    }

    /// The decoded base plus the updates, as PEFT adds them: the base is rounded to the quant state's dtype first.
    private func exactSum(_ chunk: Chunk, facts: OperationFacts) -> UnsafePointer<Float> {
        let values = chunk.takeValues()
        let update = chunk.addUpdates(facts.updates)
        FloatConversion.round(values, count: chunk.count, to: base.dtype)
        for index in 0..<chunk.count { values[index] += update[index] }
        return UnsafePointer(values)
    }
}
