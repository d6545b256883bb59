import Foundation
import Reports
import TestSupport
import Testing

@Suite struct ErrorFiguresTests {
    @Test func figuresOfAFewValues() throws {
        // e = (3, 4), w = (3, 3): error 1 of norm 5.
        let figures = ErrorFigures(sums(base: [3, 4], written: [3, 3]), hasUpdate: false)
        #expect(figures.relativeError == 0.2)
        #expect(figures.rmse == 0.5.squareRoot())
        #expect(figures.maxAbsError == 1)
        #expect(try #require(figures.cosine).isClose(to: 21 / (18.0.squareRoot() * 5)))
        #expect(try #require(figures.sqnrDecibels).isClose(to: 10 * log10(25), within: 1e-6))
        #expect(figures.updateRatio == nil)
        #expect(figures.updateKept == nil)
    }

    @Test func figuresOfAnUpdate() throws {
        // Of the update (0.5, 0.5) only the first half arrived, twice as large as it should be.
        let figures = ErrorFigures(sums(base: [3, 4], update: [0.5, 0.5], written: [4, 4]), hasUpdate: true)
        #expect(try #require(figures.updateRatio).isClose(to: 0.5.squareRoot() / 5))
        #expect(figures.updateKept == 1)
    }

    @Test func keptIsAProjection() {
        func kept(_ written: [Double]) -> Double? {
            ErrorFigures(sums(base: [1, 1], update: [0.5, 0], written: written), hasUpdate: true).updateKept
        }
        #expect(kept([1, 1]) == 0)
        #expect(kept([1.5, 1]) == 1)
        #expect(kept([2, 7]) == 2)
        #expect(kept([0.5, 1]) == -1)
    }

    @Test func nothingToCompareGivesNoFigure() {
        for empty in [sums(base: [], written: []), sums(base: [.nan, .infinity, 1], written: [1, 1, .nan])] {
            for hasUpdate in [false, true] {
                let figures = ErrorFigures(empty, hasUpdate: hasUpdate)
                #expect(figures.relativeError == nil)
                #expect(figures.rmse == nil)
                #expect(figures.maxAbsError == nil)
                #expect(figures.cosine == nil)
                #expect(figures.sqnrDecibels == nil)
                #expect(figures.updateRatio == nil)
                #expect(figures.updateKept == nil)
            }
        }
    }

    @Test func nonFiniteElementsDoNotCount() {
        let figures = ErrorFigures(sums(base: [3, .nan, 4, 9], written: [3, 0, 3, .infinity]), hasUpdate: false)
        #expect(figures == ErrorFigures(sums(base: [3, 4], written: [3, 3]), hasUpdate: false))
    }

    @Test func exactValues() {
        let figures = ErrorFigures(sums(base: [0.1, 0.7, 0.3], written: [0.1, 0.7, 0.3]), hasUpdate: false)
        #expect(figures.relativeError == 0)
        #expect(figures.rmse == 0)
        #expect(figures.cosine == 1)
        #expect(figures.sqnrDecibels == .infinity)
    }

    @Test func exactZeros() {
        let kept = ErrorFigures(sums(base: [0, 0], written: [0, 0]), hasUpdate: false)
        #expect(kept.relativeError == 0)
        #expect(kept.cosine == nil)
        #expect(kept.sqnrDecibels == .infinity)

        let broken = ErrorFigures(sums(base: [0, 0], written: [0, 2]), hasUpdate: false)
        #expect(broken.relativeError == nil)
        #expect(broken.rmse == 2.0.squareRoot())
        #expect(broken.maxAbsError == 2)
        #expect(broken.cosine == nil)
        #expect(broken.sqnrDecibels == nil)
    }

    @Test func writtenZeros() {
        let figures = ErrorFigures(sums(base: [3, 4], written: [0, 0]), hasUpdate: false)
        #expect(figures.relativeError == 1)
        #expect(figures.cosine == nil)
        #expect(figures.sqnrDecibels == 0)
    }

    @Test func updateOfZeros() {
        let figures = ErrorFigures(sums(base: [3, 4], update: [0, 0], written: [3, 4]), hasUpdate: true)
        #expect(figures.updateRatio == 0)
        #expect(figures.updateKept == nil)
    }

    @Test func updateOfABaseOfZeros() {
        let figures = ErrorFigures(sums(base: [0, 0], update: [1, 0], written: [1, 0]), hasUpdate: true)
        #expect(figures.updateRatio == nil)
        #expect(figures.updateKept == 1)
    }

    @Test func overflowGivesNoFigureRatherThanNaN() {
        let figures = ErrorFigures(sums(base: [1e200, 1e200], written: [-1e200, 1e200]), hasUpdate: true)
        #expect(figures.relativeError == nil)
        #expect(figures.rmse == nil)
        #expect(figures.cosine == nil)
        #expect(figures.sqnrDecibels == nil)
    }

    @Test(arguments: 0..<200 as Range<UInt64>) func rangesHoldForRandomTensors(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let count = Int(random.next() % 200) + 1
        // Large common factors of few digits make the cosine hit 1 from both sides.
        let base = (0..<count).map { _ in random.uniform() }
        let update = (0..<count).map { _ in random.uniform() * 0.01 }
        let noise = seed % 4 == 0 ? 1e-17 : 0.05
        let exact = zip(base, update).map(+)
        let written = exact.map { $0 * 3 * (1 + noise * random.uniform()) }
        let figures = ErrorFigures(sums(base: base, update: update, written: written), hasUpdate: true)
        let cosine = try #require(figures.cosine)
        #expect(cosine <= 1 && cosine >= -1)
        #expect(cosine > 0.99)
        // Relative error and SQNR say the same thing.
        let relative = try #require(figures.relativeError)
        #expect(try #require(figures.sqnrDecibels).isClose(to: -20 * log10(relative), within: 1e-6))
        // A written value of base + k · update keeps k of it.
        let scale = random.uniform() * 2
        let partly = zip(base, update).map { $0 + scale * $1 }
        let kept = ErrorFigures(sums(base: base, update: update, written: partly), hasUpdate: true).updateKept
        #expect(try #require(kept).isClose(to: scale, within: 1e-9))
    }
}

extension Double {
    func isClose(to other: Double, within tolerance: Double = 1e-12) -> Bool {
        abs(self - other) <= tolerance * max(1, abs(other))
    }
}

extension SeededGenerator {
    /// From −1 to 1.
    mutating func uniform() -> Double { Double(next() >> 11) / Double(1 << 52) - 1 }
}
