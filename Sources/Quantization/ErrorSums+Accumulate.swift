import Kernels

extension ErrorSums {
    /// The sums over `count` elements.
    ///
    /// Element i is added in float64 to lane i mod 8 of every sum, and the lanes in a fixed tree at the end, so the result
    /// is the same on every processor.
    ///
    /// - Parameters:
    ///   - base: The base values b (a conversion's input).
    ///   - update: The update d that was to be added; `nil` for none.
    ///   - written: The values w as a reader of the output will decode them.
    public init(base: MeasuredElements, update: UnsafePointer<Float>?, written: MeasuredElements, count: Int) {
        var sums = qconv_error_sums()
        base.withKernelForm { base in
            written.withKernelForm { written in qconv_sum_errors(base, update, written, count, &sums) }
        }
        self.init(sums, count: count)
    }

    /// What a kernel has added up.
    package init(_ sums: qconv_error_sums, count: Int) {
        self.init()
        self.count = count
        squaredError = sums.squared_error
        squaredExact = sums.squared_exact
        squaredWritten = sums.squared_written
        writtenDotExact = sums.written_dot_exact
        squaredBase = sums.squared_base
        squaredUpdate = sums.squared_update
        changeDotUpdate = sums.change_dot_update
        maxAbsError = sums.max_abs_error
        nonFiniteExact = Int(sums.non_finite_exact)
        nonFiniteWritten = Int(sums.non_finite_written)
    }

    /// The sums over `count` elements that are decoded on both sides.
    public init(
        base: UnsafePointer<Float>, update: UnsafePointer<Float>?, written: UnsafePointer<Float>, count: Int
    ) {
        self.init(base: .values(base), update: update, written: .values(written), count: count)
    }
}
