extension LowRankFactors {
    /// The factors of the transposed update, of each block: (left · right)ᵀ = rightᵀ · leftᵀ.
    public var transposed: LowRankFactors {
        LowRankFactors(
            blocks: blocks, rows: columns, columns: rows, rank: rank,
            left: LowRankFactors.transpose(right, rows: rank, columns: columns),
            right: LowRankFactors.transpose(left, rows: rows, columns: rank), scaling: scaling)
    }

    /// Each [rows, columns] as [columns, rows].
    private static func transpose(_ values: [Float], rows: Int, columns: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: values.count) { buffer, count in
            for block in stride(from: 0, to: values.count, by: max(rows * columns, 1)) {
                for row in 0..<rows {
                    for column in 0..<columns {
                        buffer[block + column * rows + row] = values[block + row * columns + column]
                    }
                }
            }
            count = values.count
        }
    }
}
