extension LowRankFactors {
    /// The factors of the transposed update: (left · right)ᵀ = rightᵀ · leftᵀ.
    public var transposed: LowRankFactors {
        LowRankFactors(
            rows: columns, columns: rows, rank: rank, left: transpose(right, rows: rank, columns: columns),
            right: transpose(left, rows: rows, columns: rank), scaling: scaling)
    }
}

private func transpose(_ values: [Float], rows: Int, columns: Int) -> [Float] {
    [Float](unsafeUninitializedCapacity: values.count) { buffer, count in
        for row in 0..<rows {
            for column in 0..<columns {
                buffer[column * rows + row] = values[row * columns + column]
            }
        }
        count = rows * columns
    }
}
