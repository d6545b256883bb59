import Comparison
import Foundation
import LosslessJSON
import TestSupport
import Testing

/// The figures of all tensors together: over all elements, however a tensor without a difference is stored.
@Suite struct OverallFiguresTests {
    private func data<Element>(_ values: [Element]) -> Data { values.withUnsafeBytes { Data($0) } }

    /// The comparison of two tensors of which one differs; the other is byte for byte the same, or wider.
    private func summary(
        _ same: [Float], _ changed: (a: [Float], b: [Float]), isWidened: Bool
    ) throws -> (JSONValue, ModelDifference) {
        let models = try RandomModels()
        defer { models.remove() }
        let shape = [same.count]
        let wide = ("same", isWidened ? "F64" : "F32", shape, isWidened ? data(same.map(Double.init)) : data(same))
        let a = try models.write(
            [("same", "F32", shape, data(same)), ("changed", "F32", [changed.a.count], data(changed.a))],
            to: "a.safetensors")
        let b = try models.write(
            [wide, ("changed", "F32", [changed.b.count], data(changed.b))], to: "b.safetensors")
        let found = try ModelComparer(ComparedModel(path: a), ComparedModel(path: b)).run()
        return (try #require(found.json["summary"]), found)
    }

    @Test func theyDoNotDependOnHowTheRestIsStored() throws {
        var generator = SeededGenerator(seed: 61)
        let same = (0..<5000).map { _ in Float.random(in: -1...1, using: &generator) }
        let a = (0..<100).map { _ in Float.random(in: 0.5...1, using: &generator) }
        let b = a.map { $0 * 1.5 }
        let (plain, difference) = try summary(same, (a, b), isWidened: false)
        let (widened, other) = try summary(same, (a, b), isWidened: true)
        #expect(difference.tensors.map(\.outcome) == [.identical, .different])
        #expect(other.tensors.map(\.outcome) == [.equal, .different])
        for key in [
            "elements_compared", "relative_error", "rmse", "max_abs_error", "sqnr_db", "percentiles", "histogram",
        ] {
            #expect(plain[key] == widened[key], "\(key)")
        }
        // Over all elements.
        let squared = zip(a, b).reduce(0) { $0 + Double($1.1 - $1.0) * Double($1.1 - $1.0) }
        #expect(isClose(plain["rmse"]?.double, (squared / 5100).squareRoot(), relative: 1e-6))
        #expect(plain["percentiles"]?["p95"]?.double == 0)
        #expect((plain["percentiles"]?["p99_9"]?.double ?? 0) > 0.25)
        #expect(plain["histogram"]?["zeros"]?.int == 5000)
        // Beside the tensors that differ.
        #expect(isClose(plain["relative_error"]?["overall"]?.double, 0.5, relative: 1e-6))
        #expect(isClose(plain["sqnr_db"]?.double, 20 * 0.30102999566, relative: 1e-5))
    }

    @Test func identicalModelsHaveNoError() throws {
        let (found, _) = try summary([1, 2, 3], ([4], [4]), isWidened: false)
        #expect(found["relative_error"]?["overall"]?.double == 0)
        #expect(found["rmse"]?.double == 0)
        #expect(found["percentiles"]?["p99_9"]?.double == 0)
        #expect(found["histogram"]?["zeros"]?.int == 4)
    }
}
