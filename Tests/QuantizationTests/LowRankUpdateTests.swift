import Quantization
import TestSupport
import Testing

extension KernelTests {
    /// The update of an adapter on every instruction set, against plain Swift with `addingProduct`.
    @Suite struct LowRankUpdates {
        @Test(arguments: [
            (1, 1), (3, 5), (16, 33), (8, 64), (16, 96), (300, 40), (64, 17), (2, 1000), (0, 7), (0, 70), (5, 65),
            (16, 127),
            (3, 128), (300, 130), (256, 64),
        ])
        func rangesOfAnUpdate(rank: Int, columns: Int) {
            var random = SeededGenerator(seed: UInt64(rank * 1000 + columns))
            let rows = 15
            let left = random.values(rows * rank, sigma: 0.1)
            let right = random.values(rank * columns, sigma: 0.1)
            let all = rows * columns
            let ranges = [
                0..<all, 0..<0, all..<all, 0..<1, all - 1..<all, 0..<min(columns, all), columns / 2..<columns * 2,
                columns / 2..<all - columns / 3, columns / 3..<columns / 3 + 1, columns + 1..<columns * 10,
                columns / 3..<columns - columns / 4, columns..<columns * 7, columns - 1..<columns * 8 + 1,
            ]
            let update = LowRankUpdate(
                left: left, right: right, rows: rows, columns: columns, rank: rank, scaling: 1.7)
            for range in ranges {
                let before = random.values(range.count, sigma: 1)
                for accumulate in [false, true] {
                    let twin = Twin.lowRankUpdate(
                        left: left, right: right, rank: rank, columns: columns, scaling: 1.7, range: range,
                        onto: accumulate ? before : nil)
                    KernelTests.withEachInstructionSet { set in
                        // With a guard on either side, which must stay.
                        var values = [.infinity] + before + [.infinity]
                        values.withUnsafeMutableBufferPointer { values in
                            update.compute(range, accumulate: accumulate, into: values.baseAddress! + 1)
                        }
                        #expect(
                            differences(values.bits, ([.infinity] + twin + [.infinity]).bits).isEmpty,
                            "\(range), \(set)")
                    }
                }
            }
        }

        /// Any number of rows, as tiles of several heights make it up.
        @Test func numbersOfRows() {
            let (rank, columns) = (7, 80)
            var random = SeededGenerator(seed: 12)
            let left = random.values(40 * rank, sigma: 1)
            let right = random.values(rank * columns, sigma: 1)
            let update = LowRankUpdate(
                left: left, right: right, rows: 40, columns: columns, rank: rank, scaling: 0.5)
            for rows in 1...40 {
                let range = 0..<rows * columns
                let twin = Twin.lowRankUpdate(
                    left: left, right: right, rank: rank, columns: columns, scaling: 0.5, range: range, onto: nil)
                KernelTests.withEachInstructionSet { set in
                    var values = [Float](repeating: .nan, count: range.count)
                    update.compute(range, accumulate: false, into: &values)
                    #expect(differences(values.bits, twin.bits).isEmpty, "\(rows) rows, \(set)")
                }
            }
        }

        /// A stack of matrices is each of them in turn, wherever a range starts and ends.
        @Test(arguments: [(1, 3, 5), (4, 7, 70), (16, 2, 64), (0, 3, 9)])
        func stacksOfMatrices(rank: Int, rows: Int, columns: Int) {
            let (blocks, size) = (4, rows * columns)
            var random = SeededGenerator(seed: UInt64(rank + columns))
            let left = random.values(blocks * rows * rank, sigma: 1)
            let right = random.values(blocks * rank * columns, sigma: 1)
            let before = random.values(blocks * size, sigma: 1)
            let stack = LowRankUpdate(
                left: left, right: right, blocks: blocks, rows: rows, columns: columns, rank: rank, scaling: 0.3)
            let twin = (0..<blocks).flatMap { block in
                Twin.lowRankUpdate(
                    left: Array(left[block * rows * rank..<(block + 1) * rows * rank]),
                    right: Array(right[block * rank * columns..<(block + 1) * rank * columns]), rank: rank,
                    columns: columns, scaling: 0.3, range: 0..<size,
                    onto: Array(before[block * size..<(block + 1) * size]))
            }
            let ranges = [
                0..<blocks * size, size..<2 * size, size - 1..<size + 1, size + 1..<4 * size - 1, 2 * size..<2 * size,
                3..<4,
            ]
            for range in ranges {
                KernelTests.withEachInstructionSet { set in
                    var values = Array(before[range]) + [.infinity]
                    stack.compute(range, accumulate: true, into: &values)
                    #expect(
                        differences(values.bits, (twin[range] + [.infinity]).bits).isEmpty, "\(range), \(set)")
                }
            }
        }

        /// a · b + c is rounded once: subnormals, cancellation, overflow, sums next to the middle of two values.
        @Test func multiplyAddsAreFused() {
            let ulp = Float.ulpOfOne
            var random = SeededGenerator(seed: 5)
            // Factors whose product lies a little beside a power of two, and addends that this is half an ulp of.
            var factors: [Float] = [
                0, -0.0, 1, -1, 1 + ulp, 1 - ulp / 2, -1 - ulp, 3, 0x1p-12 * (1 + ulp), 0x1p-12 * (1 - ulp),
                -0x1p-12 * (1 + ulp), 0x1p-75 * (1 + ulp), 0x1p-75 * (1 - ulp), 0x1p-74, 0x1p-126, 0x1p-149, 0x1.8p-148,
                0x1.8p64, -0x1p64, 0x1.fffffep127, .infinity, -.infinity, .nan,
            ]
            var addends: [Float] = [
                0, -0.0, 1, -1, 1 + ulp, 1 - ulp / 2, -1 - ulp, 0x1p-126, -0x1p-126, 0x1p-149, -0x1p-149,
                0x1.fffffcp-127,
                0x1.fffffep127, -0x1.fffffep127, 0x1p-24, 0x1p103, .infinity, -.infinity, .nan,
            ]
            for _ in 0..<120 {
                factors.append(sparse(exponent: -90...90, using: &random))
                factors.append(sparse(exponent: -14 ... -10, using: &random))
                addends.append(sparse(exponent: -149...120, using: &random))
                addends.append(sparse(exponent: -2...2, using: &random))
            }
            for c in addends {
                // Row i is factors[i] · factors[j] + c: rank 2 whose first product is c · 1.
                let left = factors.flatMap { [c, $0] }
                let right = factors.map { _ in Float(1) } + factors
                let expected = factors.flatMap { a in
                    factors.map { b in Float(0).addingProduct(c, 1).addingProduct(a, b) }
                }
                let update = LowRankUpdate(
                    left: left, right: right, rows: factors.count, columns: factors.count, rank: 2, scaling: 1)
                KernelTests.withEachInstructionSet { set in
                    var values = [Float](repeating: 0, count: expected.count)
                    update.compute(0..<expected.count, accumulate: false, into: &values)
                    let isEqual = equalOrBothNaN(values, expected)
                    #expect(isEqual, "added to \(c), \(set)")
                }
            }
        }

        /// A value with few bits set, for which exact ties and near ties are common.
        private func sparse(exponent: ClosedRange<Int>, using random: inout SeededGenerator) -> Float {
            let bits = (0..<3).reduce(UInt32(0)) { bits, _ in bits | 1 << UInt32.random(in: 0..<23, using: &random) }
            let significand = Float(
                bitPattern: Float(1).bitPattern | (Bool.random(using: &random) ? bits : 0x7FFFFF ^ bits))
            let magnitude = Float(
                sign: .plus, exponent: Int.random(in: exponent, using: &random), significand: significand)
            return Bool.random(using: &random) ? magnitude : -magnitude
        }
    }
}
