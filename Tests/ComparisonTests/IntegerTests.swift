import Comparison
import Foundation
import TestSupport
import Testing

/// 64-bit integers, which a float64 does not tell apart.
@Suite struct IntegerTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let a: (dtype: String, data: Data)
        let b: (dtype: String, data: Data)
        let changed: Int

        init<A: Sendable, B: Sendable>(_ dtypeA: String, _ a: [A], _ dtypeB: String, _ b: [B], changed: Int) {
            self.a = (dtypeA, a.withUnsafeBytes { Data($0) })
            self.b = (dtypeB, b.withUnsafeBytes { Data($0) })
            self.changed = changed
        }

        var testDescription: String { "\(a.dtype), \(b.dtype), \(changed)" }
    }

    static let cases = [
        Case("I64", [Int64(1) << 60 + 1, -1], "U64", [UInt64(1) << 60, .max], changed: 2),
        Case("I64", [Int64(1) << 60 + 1, 7], "U64", [UInt64(1) << 60 + 1, 7], changed: 0),
        Case("I64", [Int64(1) << 53 + 1, 3, -5], "F64", [0x1p53, 3, -5], changed: 1),
        Case("F64", [0x1p64, 0x1p63, .nan, 0.5], "U64", [UInt64.max, 1 << 63, 0, 0], changed: 3),
        Case("I64", [Int64(1) << 24 + 1, -2], "F32", [Float(0x1p24), -2], changed: 1),
        Case("U64", [UInt64.max, 9], "I32", [Int32(-1), 9], changed: 1),
        Case("I64", [Int64(1) << 60 + 1, 2], "I64", [Int64(1) << 60, 2], changed: 1),
    ]

    @Test(arguments: cases) func areComparedExactly(test: Case) throws {
        let models = try RandomModels()
        defer { models.remove() }
        let bits = ["I32": 32, "F32": 32][test.a.dtype] ?? 64
        let shape = [test.a.data.count * 8 / bits]
        for (a, b) in [(test.a, test.b), (test.b, test.a)] {
            let first = try models.write([("x", a.dtype, shape, a.data)], to: "a.safetensors")
            let second = try models.write([("x", b.dtype, shape, b.data)], to: "b.safetensors")
            let found = try ModelComparer(ComparedModel(path: first), ComparedModel(path: second)).run()
            #expect(found.tensors.first?.counts?.changed == test.changed)
            #expect(found.isEqual == (test.changed == 0))
        }
    }
}
