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
    /// What waits to be merged into a tensor; `nil` when nothing does.
    func pendingMerge(into index: Int) -> PendingMerge? {
        let changes = tensors[index].pendingChanges
        guard !changes.isEmpty else { return nil }
        return PendingMerge(changes: changes, scaled: changes.count { hasMagnitude($0) })
    }

    /// Plans an operation that merges all that waits for a tensor.
    mutating func appendMerge(_ operation: any TensorOperation, into index: Int) {
        tensors[index].append(operation)
        tensors[index].pendingChanges = []
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
