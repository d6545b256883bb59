extension ErrorSums {
    /// The sums of elements whose base is float64, which float32 arithmetic would already round. Rare (no model is
    /// trained in float64), so plain and sequential.
    public init<Written: BinaryFloatingPoint>(
        base: UnsafePointer<Double>, update: UnsafePointer<Float>?, written: UnsafePointer<Written>, count: Int
    ) {
        self.init()
        self.count = count
        for index in 0..<count {
            let delta = Double(update?[index] ?? 0)
            let exact = base[index] + delta
            let value = Double(written[index])
            guard exact.isFinite else {
                nonFiniteExact += 1
                continue
            }
            guard value.isFinite else {
                nonFiniteWritten += 1
                continue
            }
            let error = value - exact
            squaredError += error * error
            squaredExact += exact * exact
            squaredWritten += value * value
            writtenDotExact += value * exact
            squaredBase += base[index] * base[index]
            squaredUpdate += delta * delta
            changeDotUpdate += (value - base[index]) * delta
            maxAbsError = max(maxAbsError, abs(error))
        }
    }
}
