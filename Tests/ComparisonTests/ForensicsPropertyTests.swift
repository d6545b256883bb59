import Comparison
import Foundation
import SystemPackage
import TestSupport
import Testing

/// Merges of random weights whose truth is known because the test made them.
@Suite struct ForensicsPropertyTests {
    /// One square module in float32, the adapter for it, and its update.
    private struct Model {
        let models: RandomModels
        let rows = 96
        let columns = 96
        let rank: Int
        let alpha: Double
        let base: [Float]
        /// The update as configured, [rows, columns].
        let update: [Float]

        var scaling: Double { alpha / Double(rank) }

        init(seed: UInt64, rank: Int, alpha: Double, size: Float = 0.02) throws {
            self.rank = rank
            self.alpha = alpha
            models = try RandomModels()
            var generator = SeededGenerator(seed: seed)
            func uniform(_ count: Int, _ bound: Float) -> [Float] {
                (0..<count).map { _ in Float.random(in: -bound...bound, using: &generator) }
            }
            base = uniform(rows * columns, 0.1)
            let a = uniform(rank * columns, 0.3)
            let b = uniform(rows * rank, size)
            var update = [Float](repeating: 0, count: rows * columns)
            for row in 0..<rows {
                for column in 0..<columns {
                    var sum = 0.0
                    for k in 0..<rank { sum += Double(b[row * rank + k]) * Double(a[k * columns + column]) }
                    update[row * columns + column] = Float(sum * alpha / Double(rank))
                }
            }
            self.update = update
            _ = try models.write(
                [
                    ("base_model.model.x.lora_A.weight", "F32", [rank, columns], a.withUnsafeBytes { Data($0) }),
                    ("base_model.model.x.lora_B.weight", "F32", [rows, rank], b.withUnsafeBytes { Data($0) }),
                ], to: "adapter/adapter_model.safetensors")
            try models.write(
                #"{"peft_type": "LORA", "r": \#(rank), "lora_alpha": \#(alpha)}"#, to: "adapter/adapter_config.json")
        }

        /// Explains a model whose weight is the base plus `change`, an element at a time.
        func explain(_ change: (Int) -> Float) throws -> TensorExplanation {
            defer { models.remove() }
            let merged = base.indices.map { base[$0] + change($0) }
            for (name, values) in [("base", base), ("merged", merged)] {
                let data = values.withUnsafeBytes { Data($0) }
                _ = try models.write([("x.weight", "F32", [rows, columns], data)], to: "\(name).safetensors")
            }
            var options = ComparisonOptions()
            options.adapter = models.path("adapter")
            let explanation = try MergeExplainer(
                base: ComparedModel(path: models.path("base.safetensors")),
                merged: ComparedModel(path: models.path("merged.safetensors")), options: options
            ).run()
            return try #require(explanation.tensors.first)
        }
    }

    @Test(arguments: [
        (1.0, MergeOutcome.asConfigured), (2, .doubled), (-1, .negated), (0.5, .unscaled), (8, .alphaNotDivided),
        (2.8284271247, .rsLoRAScaling), (1.37, .scaled), (0.03, .scaled), (-3, .scaled), (250, .scaled),
    ])
    func anyScalingIsFound(ratio: Double, outcome: MergeOutcome) throws {
        for seed in UInt64(1)...3 {
            let model = try Model(seed: seed, rank: 8, alpha: 16)
            let found = try model.explain { Float(ratio) * model.update[$0] }
            #expect(found.outcome == outcome)
            #expect(isClose(found.fit?.ratio, ratio, relative: 1e-4))
            #expect(isClose(found.appliedScaling, ratio * 2, relative: 1e-4))
            #expect((found.fit?.share ?? 0) > 0.999)
        }
    }

    @Test func theEstimateIsAsGoodAsItsStandardErrorSays() throws {
        // With white noise the ratio must be within a few standard errors, and those must be what theory says.
        for (seed, noise) in [(UInt64(11), Float(0.003)), (12, 0.01), (13, 0.03)] {
            let model = try Model(seed: seed, rank: 8, alpha: 16)
            var generator = SeededGenerator(seed: seed &* 77)
            let found = try model.explain { index in
                model.update[index] + Float.random(in: -noise...noise, using: &generator)
            }
            let fit = try #require(found.fit)
            let norm = model.update.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
            #expect(isClose(fit.standardError, Double(noise) / 3.0.squareRoot() / norm, relative: 0.05))
            #expect(abs(fit.ratio - 1) < 4 * fit.standardError)
        }
    }

    @Test func noiseThatHidesTheUpdateIsNoVerdict() throws {
        let model = try Model(seed: 21, rank: 8, alpha: 16, size: 0.0002)
        var generator = SeededGenerator(seed: 22)
        let found = try model.explain { model.update[$0] + Float.random(in: -0.1...0.1, using: &generator) }
        #expect(found.outcome == .undecided)
        #expect(!found.outcome.isRight)
    }

    @Test func nothingAndTooMuch() throws {
        let nothing = try Model(seed: 31, rank: 8, alpha: 16)
        #expect(try nothing.explain { _ in 0 }.outcome == .missing)
        let noUpdate = try Model(seed: 32, rank: 8, alpha: 16, size: 0)
        #expect(try noUpdate.explain { _ in 0 }.outcome == .empty)
        let other = try Model(seed: 33, rank: 8, alpha: 16, size: 0)
        #expect(try other.explain { _ in 0.01 }.outcome == .changedWithoutUpdate)
        let infinite = try Model(seed: 34, rank: 8, alpha: 16)
        #expect(try infinite.explain { $0 == 5 ? .infinity : infinite.update[$0] }.outcome == .notFinite)
        let rest = try Model(seed: 35, rank: 8, alpha: 16)
        #expect(try rest.explain { rest.update[$0] + ($0 % 2 == 0 ? 0.002 : -0.002) }.outcome == .unexplained)
    }

    @Test func theTransposeOfASquareWeight() throws {
        let model = try Model(seed: 41, rank: 8, alpha: 16)
        let found = try model.explain { model.update[$0 % model.columns * model.columns + $0 / model.columns] }
        #expect(found.outcome == .transposed)
        #expect(isClose(found.otherFit?.ratio, 1, relative: 1e-4))
    }

    @Test func mistakesThatLookAlikeAreAllTold() throws {
        // With r = 4, alpha / √r is twice alpha / r, and with alpha = 2 so is B·A without a scaling.
        let model = try Model(seed: 51, rank: 4, alpha: 2)
        let found = try model.explain { 2 * model.update[$0] }
        #expect(found.outcome == .doubled)
        #expect(found.alternatives == [.unscaled, .rsLoRAScaling])
    }
}
