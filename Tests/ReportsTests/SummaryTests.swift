import Reports
import Tensors
import Testing

@Suite struct SummaryTests {
    @Test func medianAndWorstCountConvertedTensors() {
        let three = [0.03, 0.01, 0.02].enumerated().map { Sample.quantized("t\($0.offset)", error: $0.element) }
        let odd = OutputSummary(three + Sample.norms)
        #expect(odd.medianRelativeError?.isClose(to: 0.02) == true)
        #expect(odd.worstRelativeError?.tensor == "t0")
        #expect(odd.converted == 3)
        #expect(odd.untouched == 10)
        let even = OutputSummary(three + [Sample.quantized("t3", error: 0.5)])
        #expect(even.medianRelativeError?.isClose(to: 0.025) == true)
        #expect(even.worstRelativeError?.tensor == "t3")
    }

    @Test func overallFiguresWeighByEnergy() throws {
        // The same as one tensor of all elements.
        let parts: [(base: [Double], update: [Double], written: [Double])] = [
            ([3, 4], [0.5, 0], [3, 4]), ([100, 0], [1, 1], [101, 1]), ([5], [0], [7]),
        ]
        let tensors = parts.enumerated().map { index, part in
            TensorReport(
                name: "\(index)", shape: [part.base.count], before: Sample.bf16, after: Sample.bf16,
                sums: sums(base: part.base, update: part.update, written: part.written), hasUpdate: index < 2)
        }
        let whole = sums(
            base: parts.flatMap(\.base), update: parts.flatMap(\.update), written: parts.flatMap(\.written))
        let overall = OutputSummary(tensors).overall
        #expect(overall.relativeError == ErrorFigures(whole, hasUpdate: false).relativeError)
        #expect(overall.sqnrDecibels == ErrorFigures(whole, hasUpdate: false).sqnrDecibels)
        #expect(try #require(overall.updateKept).isClose(to: 2 / 2.25))
        // Against the bases of updated tensors only.
        #expect(try #require(overall.updateRatio).isClose(to: (2.25 / 10025).squareRoot()))
        #expect(OutputSummary(tensors).worstUpdateKept?.tensor == "0")
    }

    @Test func sizesAndBits() throws {
        let tensor = Sample.quantized("a", shape: [256, 64], error: 0.1)
        #expect(tensor.elements == 16384)
        #expect(tensor.bytesBefore == 32768)
        // 4 bits a code, 8 a scale of 64 weights, 32 a scale of 256 scales.
        #expect(tensor.bytesAfter == 8192 + 256 + 4)
        let summary = OutputSummary([tensor, Sample.untouched("b", shape: [16384])])
        #expect(summary.before.bitsPerWeight == 16)
        #expect(summary.fourBitBefore.bitsPerWeight == nil)
        #expect(summary.fourBitAfter.bitsPerWeight == 4.126953125)
        #expect(try #require(summary.after.bitsPerWeight).isClose(to: (16 + 4.126953125) / 2))
    }

    @Test func codesChangedIsAShareOfComparableCodes() {
        let summary = OutputSummary([
            Sample.merged("a", shape: [100], kept: 1, error: 0, changed: 0.5), Sample.merged("b", kept: 1, error: 0),
            Sample.merged("c", shape: [300], kept: 1, error: 0, changed: 0),
            .untouched(LogicalTensor(name: "d", shape: [64], encoding: Sample.nf4)),
        ])
        #expect(summary.codesChangedShare == 0.125)
    }

    @Test func emptyOutput() {
        let summary = OutputSummary([])
        #expect(summary.after.bitsPerWeight == nil)
        #expect(summary.medianRelativeError == nil)
        #expect(summary.worstRelativeError == nil)
        #expect(summary.overall.relativeError == nil)
        #expect(summary.codesChangedShare == nil)
    }

    @Test func untouchedTensors() {
        let tensor = Sample.untouched("a")
        #expect(tensor.isUntouched)
        #expect(tensor.figures.relativeError == 0)
        #expect(tensor.codesChangedShare == nil)
        #expect(tensor.bytesBefore == tensor.bytesAfter)
        let packed = TensorReport.untouched(LogicalTensor(name: "b", shape: [64], encoding: Sample.nf4))
        #expect(packed.codesChangedShare == 0)
        let scalar = TensorReport.untouched(LogicalTensor(name: "c", shape: [], encoding: Sample.bf16))
        #expect(scalar.elements == 1)
        let empty = TensorReport.untouched(LogicalTensor(name: "d", shape: [0, 4], encoding: Sample.nf4))
        #expect(empty.codesChangedShare == nil)
    }
}
