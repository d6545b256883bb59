/// What a change with magnitudes multiplies each output with: m / ‖W + update‖.
struct OutputScales: Sendable {
    /// One for each row, or column, of the stored weight.
    let values: [Float]
    /// The first output that has none: a row of zeros cannot be scaled to any length.
    let firstUndefined: Int?

    /// The norm is rounded to float32 before it divides, as in PEFT.
    init(_ magnitudes: Magnitudes, squares: [Double]) {
        values = zip(magnitudes.values, squares).map { $0 / Float($1.squareRoot()) }
        firstUndefined = values.firstIndex { !$0.isFinite }
    }
}

/// Sums of squares of the rows, or columns, of a part of a weight.
struct SquareSums: Sendable {
    /// The output that the first sum belongs to.
    private(set) var first = 0
    /// In float64. (torch adds in float32, so the last bits of a norm may differ from PEFT's.)
    private(set) var sums: [Double] = []

    init() {}

    init(first: Int, sums: [Double]) {
        self.first = first
        self.sums = sums
    }

    /// Adds the sums of a later part to those from the tensor's start.
    mutating func add(_ next: SquareSums) {
        let end = next.first + next.sums.count
        if sums.count < end { sums += Array(repeating: 0, count: end - sums.count) }
        for (index, sum) in next.sums.enumerated() { sums[next.first + index] += sum }
    }
}

extension OperationFacts {
    /// Divides magnitudes by the norms that have been found.
    mutating func concludeNorms(from observations: FoldedObservations) {
        let magnitudes = changes.compactMap { change in
            if case .scaleSum(_, let magnitudes) = change { magnitudes } else { nil }
        }
        outputScales = zip(magnitudes, observations.squares).map { OutputScales($0, squares: $1.sums) }
    }
}
