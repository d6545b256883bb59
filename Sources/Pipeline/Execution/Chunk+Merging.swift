import Quantization
import Tensors

extension Chunk {
    /// Merges changes into the elements as they are now, for one of the `become` methods.
    ///
    /// From now on what the changes add also counts for the exact result.
    ///
    /// - Parameters:
    ///   - baseDType: What the elements are rounded to first; `nil` for not at all.
    ///   - updateDType: What those updates are rounded to that PEFT rounds before it adds them; `nil` for not at all.
    /// - Throws: ``ConversionError/zeroNorm(tensor:output:)``.
    func mergedValues(
        _ facts: OperationFacts, baseDType: DType?, updateDType: DType? = nil
    ) throws -> UnsafeMutablePointer<Float> {
        let values = takeValues()
        guard let updates = facts.plainUpdates(areExact: updateDType == nil) else {
            return try mergeInOrder(facts, baseDType: baseDType, updateDType: updateDType).values
        }
        let update = addUpdates(updates)
        if let baseDType { FloatConversion.round(values, count: count, to: baseDType) }
        for index in 0..<count { values[index] += update[index] }
        return values
    }

    /// What changes add to the elements as they are now, which from now on also counts for the exact result.
    ///
    /// - Throws: as ``mergedValues(_:baseDType:)``.
    func mergedUpdate(_ facts: OperationFacts, baseDType: DType) throws -> UnsafePointer<Float> {
        guard let updates = facts.plainUpdates(areExact: true) else {
            return try mergeInOrder(facts, baseDType: baseDType, updateDType: nil).update
        }
        return addUpdates(updates)
    }

    /// Adds up low-rank updates and answers their sum.
    private func addUpdates(_ updates: [LowRankUpdate]) -> UnsafePointer<Float> {
        let sum = hasUpdate ? laterUpdate : update
        for (index, update) in updates.enumerated() {
            update.compute(range, accumulate: index > 0, into: sum)
        }
        return count(update: sum)
    }

    /// Applies changes one after the other, rounding to float32 where PEFT does.
    private func mergeInOrder(
        _ facts: OperationFacts, baseDType: DType?, updateDType: DType?
    ) throws -> (values: UnsafeMutablePointer<Float>, update: UnsafePointer<Float>) {
        let values = takeValues()
        if let baseDType { FloatConversion.round(values, count: count, to: baseDType) }
        unmerged.update(from: values, count: count)
        var scales = facts.outputScales.makeIterator()
        for change in facts.changes {
            switch change {
            case .add(let update, let isRoundedFirst):
                update.compute(range, accumulate: false, into: single)
                if isRoundedFirst, let updateDType { FloatConversion.round(single, count: count, to: updateDType) }
                for index in 0..<count { values[index] += single[index] }
            case .scaleSum(let update, let magnitudes):
                update.compute(range, accumulate: false, into: single)
                for index in 0..<count { values[index] += single[index] }
                guard let scales = scales.next() else { continue }
                if let output = scales.firstUndefined {
                    throw ConversionError.zeroNorm(tensor: input.name, output: output)
                }
                forEachRun(columns: update.columns) { row, columns, run in
                    for (column, index) in zip(columns, run) {
                        values[index] *= scales.values[magnitudes.areColumns ? column : row]
                    }
                }
            }
        }
        let sum = hasUpdate ? laterUpdate : update
        for index in 0..<count { sum[index] = values[index] - unmerged[index] }
        return (values, count(update: sum))
    }

    /// Makes an update count for the exact result.
    private func count(update added: UnsafeMutablePointer<Float>) -> UnsafePointer<Float> {
        if hasUpdate {
            for index in 0..<count { update[index] += added[index] }
        }
        hasUpdate = true
        return UnsafePointer(added)
    }

    /// For each change with magnitudes the sums of squares of the elements as they are now plus its update, a granule at a
    /// time.
    func squareSums(_ facts: OperationFacts, baseDType: DType?) -> [Observation] {
        let values = takeValues()
        if let baseDType { FloatConversion.round(values, count: count, to: baseDType) }
        var observed = [[SquareSums]](repeating: [], count: granules.count)
        for case .scaleSum(let update, let magnitudes) in facts.changes {
            update.compute(range, accumulate: false, into: single)
            for index in 0..<count { single[index] += values[index] }
            for (index, granule) in granules.enumerated() {
                observed[index].append(squareSums(granule, columns: update.columns, ofColumns: magnitudes.areColumns))
            }
        }
        return observed.map { .squares($0) }
    }

    private func squareSums(_ granule: Range<Int>, columns: Int, ofColumns: Bool) -> SquareSums {
        let first = (range.lowerBound + granule.lowerBound) / columns
        let last = (range.lowerBound + granule.upperBound - 1) / columns
        var sums = [Double](repeating: 0, count: ofColumns ? columns : last - first + 1)
        forEachRun(in: granule, columns: columns) { row, columns, run in
            if ofColumns {
                for (column, index) in zip(columns, run) {
                    sums[column] += Double(single[index]) * Double(single[index])
                }
            } else {
                var sum = 0.0
                for index in run { sum += Double(single[index]) * Double(single[index]) }
                sums[row - first] = sum
            }
        }
        return SquareSums(first: ofColumns ? 0 : first, sums: sums)
    }

    /// Calls `body` for each row of the matrix that has elements here.
    ///
    /// - Parameters:
    ///   - part: The elements in question, counted from the chunk's start; `nil` for all.
    ///   - body: Gets the row, the columns in hand, and where they are, counted from the chunk's start.
    private func forEachRun(
        in part: Range<Int>? = nil, columns: Int, _ body: (_ row: Int, _ columns: Range<Int>, _ run: Range<Int>) -> Void
    ) {
        let part = part ?? 0..<count
        var start = part.lowerBound
        while start < part.upperBound {
            let (row, column) = (range.lowerBound + start).quotientAndRemainder(dividingBy: columns)
            let width = min(columns - column, part.upperBound - start)
            body(row, column..<column + width, start..<start + width)
            start += width
        }
    }
}

extension OperationFacts {
    /// The updates if all changes are added as they are, so that their order does not matter; `nil` otherwise.
    ///
    /// - Parameter areExact: Whether none is rounded before it is added.
    fileprivate func plainUpdates(areExact: Bool) -> [LowRankUpdate]? {
        var updates: [LowRankUpdate] = []
        for change in changes {
            guard case .add(let update, let isRoundedFirst) = change, areExact || !isRoundedFirst else { return nil }
            updates.append(update)
        }
        return updates
    }
}
