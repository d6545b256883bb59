import Comparison
import Foundation
import Reports
import SystemPackage
import TestSupport
import Testing

/// The comparison against a plain loop, over sizes at the edges of chunks and of the kernels' strides.
@Suite struct ComparisonPropertyTests {
    private static let sizes = [
        0, 1, 7, 8, 31, 1023, 1024, 1025, 32767, 32768, 32769, 65536 + 5, 100_000, 300_007,
    ]

    private func compare(
        _ a: FilePath, _ b: FilePath, threads: Int? = nil, memory: Int? = nil
    ) throws -> ModelDifference {
        var options = ComparisonOptions()
        options.threads = threads
        if let memory { options.memory = memory }
        return try ModelComparer(ComparedModel(path: a), ComparedModel(path: b), options: options).run()
    }

    @Test(arguments: [false, true]) func figuresAreThoseOfAPlainLoop(odd: Bool) throws {
        var generator = SeededGenerator(seed: odd ? 2 : 1)
        let models = try RandomModels()
        defer { models.remove() }
        var expected: [String: (a: [Float], b: [Float])] = [:]
        for size in ComparisonPropertyTests.sizes {
            let a = generator.values(size, odd: odd)
            let noise = generator.values(size, odd: odd)
            expected["t\(size)"] = (a, zip(a, noise).map { generator.next() % 4 == 0 ? $0 + $1 : $0 })
        }
        let names = expected.keys.sorted()
        let a = try models.write(names.map { ($0, expected[$0]?.a ?? []) }, to: "a.safetensors")
        let b = try models.write(names.reversed().map { ($0, expected[$0]?.b ?? []) }, to: "b.safetensors")
        for tensor in try compare(a, b).tensors {
            let (a, b) = try #require(expected[tensor.name])
            check(tensor, a, b)
        }
    }

    private func check(_ found: TensorDifference, _ a: [Float], _ b: [Float]) {
        func isNaN(_ value: Float) -> Bool { value != value }
        let changed = zip(a, b).count { $0 != $1 && !(isNaN($0) && isNaN($1)) }
        guard let counts = found.counts, let sums = found.sums else {
            #expect(found.outcome == .identical && changed == 0, "\(found.name)")
            return
        }
        #expect(counts.changed == changed, "\(found.name)")
        #expect(counts.nanA == a.count(where: isNaN), "\(found.name)")
        #expect(counts.nanB == b.count(where: isNaN), "\(found.name)")
        #expect(counts.infiniteA == a.count(where: \.isInfinite), "\(found.name)")
        #expect(counts.infiniteB == b.count(where: \.isInfinite), "\(found.name)")
        let finite = zip(a, b).filter { $0.isFinite && $1.isFinite }
        #expect(sums.comparedCount == finite.count, "\(found.name)")
        let errors = finite.map { Double($1) - Double($0) }
        let squared = errors.reduce(0) { $0 + $1 * $1 }
        let base = finite.reduce(0) { $0 + Double($1.0) * Double($1.0) }
        // Of many elements, terms are rounded to float32.
        let (ofSums, ofLargest) = a.count < 4096 ? (1e-11, 0) : (3e-8, 0x1p-24)
        #expect(isClose(sums.squaredError, squared, relative: ofSums), "\(found.name)")
        #expect(isClose(sums.squaredExact, base, relative: ofSums), "\(found.name)")
        let magnitudes = errors.map(abs).sorted()
        #expect(isClose(sums.maxAbsError, magnitudes.last ?? 0, relative: ofLargest), "\(found.name)")
        guard let distribution = found.distribution, !magnitudes.isEmpty else {
            #expect(magnitudes.isEmpty && found.distribution == nil, "\(found.name)")
            return
        }
        for (thousandths, value) in [
            (500, distribution.median), (950, distribution.percentile95), (999, distribution.percentile999),
        ] {
            let rank = max(1, (magnitudes.count * thousandths + 999) / 1000)
            #expect(isClose(value, magnitudes[rank - 1], relative: 1.0 / 128, absolute: 1e-40), "\(found.name)")
        }
    }

    @Test func answersDoNotDependOnThreadsOrMemory() throws {
        var generator = SeededGenerator(seed: 3)
        let models = try RandomModels()
        defer { models.remove() }
        let tensors = ComparisonPropertyTests.sizes.map { ("t\($0)", generator.values($0, odd: true)) }
        let others = tensors.map { name, values in
            (name, values.map { generator.next() % 3 == 0 ? $0 : $0 * 1.0001 })
        }
        let a = try models.write(tensors, to: "a.safetensors")
        let b = try models.write(others, to: "b.safetensors")
        let expected = try compare(a, b, threads: 1)
        for threads in [2, 3, 8] {
            let found = try compare(a, b, threads: threads)
            #expect(found.tensors == expected.tensors)
            #expect(found.distribution == expected.distribution)
            #expect(found.jsonText() == expected.jsonText())
        }
        #expect(try compare(a, b, threads: 8, memory: 3 << 20).tensors == expected.tensors)
        #expect(throws: ComparisonError.self) { _ = try compare(a, b, memory: 1000) }
    }

    @Test func aSingleChangedByteIsFoundWhereverItIs() throws {
        let models = try RandomModels()
        defer { models.remove() }
        var generator = SeededGenerator(seed: 4)
        let size = 300_007
        let values = generator.values(size)
        let a = try models.write([("x", values), ("y", values)], to: "a.safetensors")
        for place in [0, 1, 65_535, 65_536, 150_000, size - 1] {
            var changed = values
            changed[place] += 1
            let b = try models.write([("x", changed), ("y", values)], to: "b.safetensors")
            let found = try compare(a, b)
            #expect(found.tensors.map(\.outcome) == [.different, .identical])
            #expect(found.tensors[0].counts?.changed == 1)
            #expect(found.tensors[0].distribution?.zeros == size - 1)
            #expect(!found.isEqual)
        }
    }

    @Test func interruptionStops() throws {
        let models = try RandomModels()
        defer { models.remove() }
        let a = try models.write([("x", [1, 2, 3])], to: "a.safetensors")
        let comparer = try ModelComparer(ComparedModel(path: a), ComparedModel(path: a))
        #expect(throws: (any Error).self) { _ = try comparer.run(isCancelled: { true }) }
    }
}
