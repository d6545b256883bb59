import Checkpoints
import SystemPackage

/// What the conversions of a batch and its reports would destroy of each other, or of what any of them reads.
struct BatchClashes {
    /// Whose a path is: an adapter's conversion, or the batch's own.
    private typealias Owner = (adapter: BatchAdapter?, place: String)

    private let batch: BatchSpec
    private let specs: [PipelineSpec]
    private let sources: ClaimedPaths<UsedPath>

    /// - Parameter specs: The batch's ordinary specs, one for each adapter.
    init(_ batch: BatchSpec, _ specs: [PipelineSpec]) {
        self.batch = batch
        self.specs = specs
        var sources = ClaimedPaths<UsedPath>()
        for source in Set(specs.flatMap(\.sources)) { sources.claim(source.path, by: source) }
        self.sources = sources
    }

    /// - Throws: ``SpecError`` naming both sides.
    func check() throws(SpecError) {
        var claims = ClaimedPaths<Owner>()
        for path in batch.report.paths {
            try check(UsedPath(path, as: .report), of: (nil, "the report of the batch"), &claims)
        }
        for (adapter, spec) in zip(batch.adapters, specs) {
            for (used, place) in spec.destinations { try check(used, of: (adapter, place), &claims) }
        }
    }

    private func check(
        _ used: UsedPath, of owner: Owner, _ claims: inout ClaimedPaths<Owner>
    ) throws(SpecError) {
        let place = owner.adapter == nil ? "batch" : owner.place
        if let conflict = sources.conflict(with: used.path) {
            let error = OutputDestination(used.path, as: used.role).taken(by: conflict.owner, conflict.relation)
            throw SpecError(file: batch.file, place: place, problem: error.description)
        }
        if let conflict = claims.conflict(with: used.path) {
            throw clash(used.path, of: owner, conflict, place: place)
        }
        claims.claim(used.path, by: owner)
    }

    private func clash(
        _ path: FilePath, of owner: Owner, _ conflict: ClaimedPaths<Owner>.Conflict, place: String
    ) -> SpecError {
        let other = conflict.owner
        let isOwn = owner.adapter == other.adapter
        let name = owner.adapter?.path ?? owner.place
        let otherName = other.adapter.map { isOwn ? "\($0.path) (\(other.place))" : $0.path } ?? other.place
        let names = name == otherName ? "two reports of the batch" : "\(otherName) and \(name)"
        return SpecError(
            file: batch.file, place: place,
            problem: conflict.relation == .same
                ? "\(names) would both be written to \(path)"
                : "\(path) of \(name) \(conflict.relation.rawValue) \(conflict.path) of \(otherName)",
            remedy: isOwn || other.adapter == nil
                ? "give each a path of its own" : "tell them apart with a field: {name}, {parent} or {index}")
    }
}
