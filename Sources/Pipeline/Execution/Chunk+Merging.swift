import Adapters
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
        guard let updates = facts.plainUpdates(areExact: updateDType == nil) else {
            return try mergeInOrder(facts, baseDType: baseDType, updateDType: updateDType).values
        }
        let update = addUpdates(updates)
        takeValues { piece in
            FloatConversion.round(
                working + piece.lowerBound, count: piece.count, to: baseDType ?? .f32, adding: update + piece.lowerBound
            )
        }
        return working
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
            compute(update, accumulate: index > 0, into: sum)
        }
        return count(update: sum)
    }

    /// Computes an update. The rows that its weight does not have any more are left alone.
    private func compute(_ update: LowRankUpdate, accumulate: Bool, into values: UnsafeMutablePointer<Float>) {
        let part = present.clamped(to: 0..<update.blocks * update.rows * update.columns)
        if !accumulate { (values + part.count).update(repeating: 0, count: count - part.count) }
        if !part.isEmpty { update.compute(part, accumulate: accumulate, into: values) }
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
                compute(update, accumulate: false, into: single)
                if isRoundedFirst, let updateDType { FloatConversion.round(single, count: count, to: updateDType) }
                for index in 0..<count { values[index] += single[index] }
            case .scaleSum(let update, let magnitudes):
                compute(update, accumulate: false, into: single)
                for index in 0..<count { values[index] += single[index] }
                if let scales = scales.next() { try scale(values, by: scales, magnitudes, columns: update.columns) }
            case .rows(let rows):
                replaceRows(of: values, by: rows)
            }
        }
        let sum = hasUpdate ? laterUpdate : update
        for index in 0..<count { sum[index] = values[index] - unmerged[index] }
        return (values, count(update: sum))
    }

    private func scale(
        _ values: UnsafeMutablePointer<Float>, by scales: OutputScales, _ magnitudes: Magnitudes, columns: Int
    ) throws(ConversionError) {
        if let output = scales.firstUndefined { throw .zeroNorm(tensor: input.name, output: output) }
        forEachRun(columns: columns) { row, columns, run in
            guard !magnitudes.areColumns else {
                for (column, index) in zip(columns, run) { values[index] *= scales.values[column] }
                return
            }
            guard row < scales.values.count else { return }
            let scale = scales.values[row]
            for index in run { values[index] *= scale }
        }
    }

    private func replaceRows(of values: UnsafeMutablePointer<Float>, by rows: TrainedRows) {
        rows.values.withUnsafeBufferPointer { trained in
            forEachRun(columns: rows.columns) { row, columns, run in
                guard let start = rows.starts[row] else { return }
                for (column, index) in zip(columns, run) { values[index] = trained[start + column] }
            }
        }
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
        var observed = [[OutputSums]](repeating: [], count: granules.count)
        for case .scaleSum(let update, let magnitudes) in facts.changes {
            compute(update, accumulate: false, into: single)
            for index in 0..<count { single[index] += values[index] }
            for (index, granule) in granules.enumerated() {
                observed[index].append(squareSums(granule, columns: update.columns, ofColumns: magnitudes.areColumns))
            }
        }
        return observed.map { .squares($0) }
    }

    private func squareSums(_ granule: Range<Int>, columns: Int, ofColumns: Bool) -> OutputSums {
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
        return OutputSums(first: ofColumns ? 0 : first, sums: sums)
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

// MARK: - Whole tensors and new rows

extension Chunk {
    /// The values of a whole tensor in the place of the elements, which are as many as it has from now on, for one of the `become`
    /// methods. It also counts as the exact result.
    ///
    /// - Parameter tensor: Index among the tensors of the adapter's file.
    /// - Throws: ``Adapters/AdapterError/nonFinite(file:tensor:index:)``; ``Tensors/FileError``.
    func replacedValues(_ tensor: Int, of adapter: LoRAAdapter) throws -> UnsafePointer<Float> {
        let source = adapter.weights.tensors[tensor]
        let elements = range.clamped(to: 0..<source.elementCount)
        count = elements.count
        current = working
        for (part, bytes) in source.encoding.byteRanges(of: elements) where !bytes.isEmpty {
            try clock.during(.reading) {
                try adapter.weights.read(
                    part, ofTensor: tensor, at: bytes.lowerBound,
                    into: UnsafeMutableRawBufferPointer(start: ownParts.dense, count: bytes.count))
            }
            FloatConversion.decode(
                source.encoding.denseDType ?? .f32, ownParts.dense, count: count, into: working)
        }
        if let index = (0..<count).first(where: { !working[$0].isFinite }) {
            throw adapter.nonFinite(tensor: tensor, element: elements.lowerBound + index)
        }
        decodeBase()
        for index in 0..<count { update[index] = working[index] - base[index] }
        hasUpdate = true
        return UnsafePointer(working)
    }

    /// The elements of a matrix with another number of rows, for one of the `become` methods. New ones count for the exact
    /// result.
    ///
    /// - Parameters:
    ///   - total: How many elements the matrix gets.
    ///   - newRow: The values of each new row.
    func resizedValues(to total: Int, columns: Int, newRow: [Float]) -> UnsafePointer<Float> {
        let values = takeValues()
        let before = count
        count = range.clamped(to: 0..<total).count
        if !hasUpdate { update.update(repeating: 0, count: count) }
        hasUpdate = true
        guard before < count else { return UnsafePointer(values) }
        forEachRun(in: before..<count, columns: columns) { _, columns, run in
            for (column, index) in zip(columns, run) {
                values[index] = newRow[column]
                update[index] = values[index]
            }
        }
        return UnsafePointer(values)
    }

    /// The sums of the columns in each granule.
    func columnSums(columns: Int) -> [Observation] {
        let values = values
        return granules.map { granule in
            var sums = [Double](repeating: 0, count: columns)
            forEachRun(in: granule, columns: columns) { _, columns, run in
                for (column, index) in zip(columns, run) { sums[column] += Double(values[index]) }
            }
            return .columns(OutputSums(first: 0, sums: sums))
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
