import Comparison
import LosslessJSON
import Testing

/// Figures against numpy's in float64, for every pair of encodings and for tensors that something is special about.
@Suite struct NumpyAgreementTests {
    @Test func figuresAreThoseOfNumpy() throws {
        let expected = try #require(try ComparisonFixtures.expected()["pairs"]?.object)
        let differences = try ComparisonFixtures.differences("a.safetensors", "b.safetensors")
        #expect(Set(differences.keys) == Set(expected.keys))
        for (name, figures) in expected {
            let found = try #require(differences[name])
            #expect(found.elements == figures["elements"]?.int, "\(name)")
            // What is the same byte for byte is not looked at.
            guard let counts = found.counts else {
                #expect(found.outcome == .identical, "\(name)")
                #expect(figures["changed"]?.int == 0, "\(name)")
                continue
            }
            #expect(counts.changed == figures["changed"]?.int, "\(name)")
            #expect((found.outcome == .different) == (counts.changed > 0), "\(name)")
            #expect(counts.nanA == figures["nan_a"]?.int, "\(name)")
            #expect(counts.nanB == figures["nan_b"]?.int, "\(name)")
            #expect(counts.infiniteA == figures["infinite_a"]?.int, "\(name)")
            #expect(counts.infiniteB == figures["infinite_b"]?.int, "\(name)")
            let ours = found.figures
            #expect(isClose(ours.relativeError, figures["relative_error"]?.double), "\(name) \(ours)")
            #expect(isClose(ours.rmse, figures["rmse"]?.double), "\(name) \(ours)")
            #expect(isClose(ours.maxAbsError, figures["max_abs_error"]?.double), "\(name) \(ours)")
            #expect(isClose(ours.cosine, figures["cosine"]?.double), "\(name) \(ours)")
            let decibels = ours.sqnrDecibels.flatMap { $0.isFinite ? $0 : nil }
            #expect(isClose(decibels, figures["sqnr_db"]?.double, absolute: 1e-6), "\(name) \(ours)")
            #expect(found.codesChanged == figures["codes_changed"]?.int, "\(name)")
            #expect(found.scalesChanged == figures["scales_changed"]?.int, "\(name)")
            try checkPercentiles(of: found, figures["percentiles"]?.array)
        }
    }

    /// A percentile is within one bucket, 1/128 of the power of two below it.
    private func checkPercentiles(of found: TensorDifference, _ expected: [JSONValue]?) throws {
        guard let expected else { return #expect(found.distribution == nil, "\(found.name)") }
        let distribution = try #require(found.distribution)
        let ours = [distribution.median, distribution.percentile95, distribution.percentile999]
        for (left, right) in zip(ours, expected) {
            // Beyond float32's range all magnitudes count as its largest; below its normal range buckets are coarse.
            let value = try #require(right.double)
            #expect(isClose(left, value, relative: 1.0 / 128, absolute: 1e-40), "\(found.name)")
        }
        let counted = distribution.zeros + distribution.octaves.reduce(0, +)
        let compared = try #require(found.sums)
        #expect(counted == compared.comparedCount)
    }

    @Test func whatIsStoredAlikeIsTold() throws {
        let differences = try ComparisonFixtures.differences("a.safetensors", "b.safetensors")
        func outcome(_ name: String) -> TensorDifference.Outcome? { differences[name]?.outcome }
        #expect(outcome("same") == .identical)
        #expect(outcome("widened") == .equal)
        #expect(outcome("all-nan") == .identical)
        #expect(outcome("zeros") == .equal)  // 0 and −0
        #expect(outcome("empty") == .identical)
        #expect(outcome("empty-widened") == .equal)
        #expect(outcome("scalar") == .different)
        #expect(outcome("one-late-change") == .different)
    }

    @Test func survivalIsThatOfNumpy() throws {
        let expected = try #require(try ComparisonFixtures.expected()["survival"]?.object)
        var options = ComparisonOptions()
        options.adapter = ComparisonFixtures.path("adapter")
        let differences = try ComparisonFixtures.differences("base.safetensors", "merged.safetensors", options)
        #expect(differences.count == expected.count)
        for (name, figures) in expected {
            let update = try #require(differences[name]?.update)
            // The update is computed in float32.
            #expect(isClose(update.figures.updateKept, figures["update_kept"]?.double, relative: 1e-5), "\(name)")
            #expect(isClose(update.figures.updateRatio, figures["update_ratio"]?.double, relative: 1e-6), "\(name)")
            #expect(isClose(update.updateToStep, figures["update_to_step"]?.double, relative: 1e-6), "\(name)")
            #expect(
                isClose(update.figures.relativeError, figures["merge_error"]?.double, relative: 1e-4, absolute: 1e-7),
                "\(name)")
        }
        #expect(differences["model.layers.0.self_attn.q_proj.weight"]?.update?.outcome == .erased)
        #expect(differences["model.layers.2.self_attn.q_proj.weight"]?.update?.outcome == .kept)
    }
}
