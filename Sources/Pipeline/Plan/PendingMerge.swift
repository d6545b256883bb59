import Adapters
import Quantization
import Tensors

/// The changes that one step merges into a tensor, in the order they are applied in.
struct PendingMerge: Sendable {
    let changes: [PendingChange]
    /// How many of them scale the rows of the sum (DoRA).
    let scaled: Int

    /// What must be known of the whole tensor before any chunk can be merged.
    var preparations: [Preparation] { scaled > 0 ? [.norms] : [] }
    /// Whether PEFT rounds the sum to the quant state's dtype before it quantizes it, as it does for DoRA.
    var isRoundedBeforeQuantization: Bool { scaled > 0 && scaled == changes.count }
}

extension PlannedModel {
    /// Plans to merge all that waits for a tensor: whole tensors take the base's place first, `append` plans the rest.
    ///
    /// - Parameters:
    ///   - asked: The dtype that the step gives dense results; `nil` for the tensor's own.
    ///   - append: Plans a merge into the tensor as it then stands. Not called when nothing is left.
    /// - Returns: Whether anything waited.
    @discardableResult
    mutating func merge(
        into index: Int, asked: DType?, place: String,
        _ append: (inout PlannedModel, PendingMerge) throws(PlanError) -> Void
    ) throws(PlanError) -> Bool {
        var changes = tensors[index].pendingChanges
        guard let first = changes.first else { return false }
        if case .replacement(let tensor, _) = kind(of: first) {
            try appendReplacement(first, tensor: tensor, into: index, asked: asked, place: place)
            changes.removeFirst()
        }
        if !changes.isEmpty {
            try append(&self, PendingMerge(changes: changes, scaled: changes.count { hasMagnitude($0) }))
        }
        tensors[index].pendingChanges = []
        return true
    }

    /// Plans to put a tensor of an adapter in the base's place, in the base's dtype, as PEFT loads it.
    private mutating func appendReplacement(
        _ change: PendingChange, tensor: Int, into index: Int, asked: DType?, place: String
    ) throws(PlanError) {
        let planned = tensors[index].tensor
        let current: DType
        switch planned.encoding {
        case .dense(let dtype): current = dtype
        case .blockQuantized(let quantization):
            current = quantization.dtype
            warnings.append(
                "\(place): \"\(planned.name)\" is 4-bit and replaced by a whole tensor, which stays dense; \"requantize\" makes it 4-bit again"
            )
        }
        guard let dtype = asked ?? ([.bf16, .f16, .f32].contains(current) ? current : nil) else {
            throw PlanError(
                place: place, problem: "\"\(planned.name)\" is \(current.rawValue), in which no merge is written",
                remedy: "use \"dequantize-merge\" with a \"dtype\": bf16, f16 or f32")
        }
        tensors[index].append(
            ReplaceWhole(change: change, dtype: dtype, adapter: adapters[change.adapter].adapter, tensor: tensor))
    }

    /// Makes sure that there is something to merge.
    func requireChanges(place: String) throws(PlanError) {
        guard !tensors.contains(where: { !$0.pendingChanges.isEmpty }) else { return }
        throw PlanError(
            place: place,
            problem: adapters.isEmpty ? "no adapter is attached" : "every attached update has been merged already",
            remedy: "put {\"op\": \"attach-adapter\", \"path\": \"…\"} before this step")
    }
}
