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
        SpecKey(
            "seed", .integer, default: 0,
            onlyWith: .init(key: "rounding", values: [Rounding.stochastic.rawValue, Rounding.auto.rawValue]),
            "The seed of stochastic rounding."),
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
        try model.requireChanges(place: place)
        let pending = model.tensors.indices.filter { !model.tensors[$0].pendingChanges.isEmpty }
        guard pending.contains(where: { model.tensors[$0].tensor.encoding.blockQuantization != nil }) else {
            throw PlanError(
                place: place, problem: "no weight that the adapter updates is 4-bit at this point",
                remedy: "use \"dequantize-merge\" for dense weights, or put a \"quantize\" step before this one")
        }
        var denseNames: [String] = []
        for index in pending {
            try model.merge(into: index, asked: nil, place: place) { (model, merge) throws(PlanError) in
                let tensor = model.tensors[index].tensor
                switch tensor.encoding {
                case .blockQuantized(let base):
                    model.tensors[index].append(
                        MergeIn4Bit(
                            encoding: encoding(base, merge), base: base, scales: scales, rounding: rounding,
                            key: StochasticKey(seed: seed, tensorName: tensor.name), merge: merge))
                case .dense(let dtype):
                    // What PEFT does too: a dense weight among 4-bit ones (an output head, say) keeps its dtype.
                    if tensor.shape.count > 1 { denseNames.append(tensor.name) }
                    model.tensors[index].append(
                        try MergeDense(denseBase: dtype, asked: nil, name: tensor.name, merge: merge, place: place))
                }
            }
        }
        if !denseNames.isEmpty {
            model.warnings.append(
                "\(place): \(denseNames.count) dense weights are merged in their own dtype: \(wordList(denseNames, "and"))"
            )
        }
    }

    /// The merged weight's encoding. With fresh scales the quant state's dtype is that of the sum that is quantized, as in
    /// PEFT: float32, or the base's after DoRA.
    private func encoding(_ base: BlockQuantization, _ merge: PendingMerge) -> BlockQuantization {
        guard scales == .fresh else { return base }
        return BlockQuantization(
            quantType: base.quantType, blocksize: base.blocksize,
            dtype: merge.isRoundedBeforeQuantization ? base.dtype : .f32,
            doubleQuantization: base.doubleQuantization.map { _ in DoubleQuantization() },
            storage: base.storage?.forNewCodes)
    }
}

/// Merges changes into codes.
struct MergeIn4Bit: TensorOperation {
    /// *auto* takes nearest rounding where that keeps at least this share of the update: beyond it nearest has less noise
    /// than stochastic rounding and loses little (measured: see the survival table in the README).
    static let nearestKeepsEnough = 0.9

    let encoding: BlockQuantization
    let base: BlockQuantization
    let scales: MergeIn4BitStage.Scales
    let rounding: MergeIn4BitStage.Rounding
    let key: StochasticKey
    let merge: PendingMerge

    var result: Encoding { .blockQuantized(encoding) }

    var changes: [PendingChange] { merge.changes }

    var preparations: [Preparation] {
        merge.preparations + (rounding == .auto ? [.roundingSample, .roundingOfAll] : [])
            + (scales == .fresh && encoding.doubleQuantization != nil ? [.scaleMean] : [])
    }

    func needs(_ preparation: Preparation, _ facts: OperationFacts) -> Bool {
        guard preparation == .roundingOfAll else { return true }
        if case .nearest? = facts.rounding { return true } else { return false }
    }

    func apply(to chunk: Chunk, facts: OperationFacts) throws {
        try merge(into: chunk, facts: facts, rounding: rule(facts))
    }

    func observe(_ preparation: Preparation, in chunk: Chunk, facts: OperationFacts) throws -> [Observation] {
        switch preparation {
        case .norms:
            return chunk.squareSums(facts, baseDType: base.dtype)
        case .roundingSample, .roundingOfAll:
            try merge(into: chunk, facts: facts, rounding: .nearest)
            return chunk.errorSums().map { .sums($0) }
        case .columnMeans:
            return []
        case .scaleMean:
            return chunk.scaleSums(of: try sum(chunk, facts: facts), blocksize: encoding.blocksize)
        }
    }

    func conclude(_ preparation: Preparation, from observations: FoldedObservations, into facts: inout OperationFacts) {
        switch preparation {
        case .norms:
            facts.concludeNorms(from: observations)
        case .roundingSample, .roundingOfAll:
            let sums = observations.sums
            // Where the sample has no update (experts that were never trained), the rest may have one, which must not be erased.
            let keepsEnough =
                sums.squaredUpdate > 0
                && sums.changeDotUpdate >= MergeIn4Bit.nearestKeepsEnough * sums.squaredUpdate
            facts.rounding = keepsEnough ? .nearest : .stochastic(key)
        case .scaleMean:
            facts.concludeScaleMean(from: observations)
        case .columnMeans: return
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

    private func merge(into chunk: Chunk, facts: OperationFacts, rounding: RoundingRule) throws {
        switch scales {
        case .base:
            chunk.moveCodes(
                by: try chunk.mergedUpdate(facts, baseDType: base.dtype), result: encoding, rounding: rounding)
        case .fresh:
            chunk.become(
                quantized: encoding, values: try sum(chunk, facts: facts), rounding: rounding,
                scaleOffset: facts.scaleOffset)
        }
    }

    /// The merged values as PEFT quantizes them: the decoded base is rounded to the quant state's dtype before anything is
    /// added, and after DoRA the sum is too.
    private func sum(_ chunk: Chunk, facts: OperationFacts) throws -> UnsafePointer<Float> {
        let values = try chunk.mergedValues(facts, baseDType: base.dtype)
        if merge.isRoundedBeforeQuantization { FloatConversion.round(values, count: chunk.count, to: base.dtype) }
        return UnsafePointer(values)
    }
}
