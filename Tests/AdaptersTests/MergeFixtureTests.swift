import Adapters
import LosslessJSON
import SystemPackage
import Tensors
import Testing

/// Updates added to dense weights, against PEFT's `merge_and_unload`.
@Suite struct MergeFixtureTests {
    private static let directory = Fixtures.directory.removingLastComponent().appending("merges")

    @Test(arguments: ["f32", "bf16"]) func mergesAreThoseOfPEFT(_ dtype: String) throws {
        let cases = try JSONValue(parsing: Fixtures.bytes(Self.directory.appending("manifest.json")))["cases"]?.array
        let merge = try #require(cases?.first { $0["base"]?.string == "bases/\(dtype)" })
        func path(_ key: String) -> FilePath { Self.directory.pushing(FilePath(merge[key]!.string!)) }
        let base = try SafetensorsBytes(path("base").appending("model.safetensors"))
        let expected = try SafetensorsBytes(path("expected"))
        let adapter = try LoRAAdapter(testing: path("adapter"))
        let tensors = base.tensors
        let matches = try adapter.match(to: tensors)
        #expect(matches.count == 4)

        for match in matches {
            let name = tensors[match.tensor].name
            let factors = try adapter.factors(ofModule: match.change)
            let weights = Self.values(try #require(base.bytes(named: name)), dtype)
            let merged = Self.values(try #require(expected.bytes(named: name)), dtype)
            var differing = 0
            for index in weights.indices {
                let (row, column) = index.quotientAndRemainder(dividingBy: factors.columns)
                var sum: Float = 0
                for k in 0..<factors.rank {
                    sum += factors.left[row * factors.rank + k] * factors.right[k * factors.columns + column]
                }
                let exact = weights[index] + sum * Float(factors.scaling)
                let written = dtype == "f32" ? exact : Self.roundedToBF16(exact)
                // Sums may differ in float32's last bits.
                if abs(written - merged[index]) > 1e-6 { differing += 1 }
            }
            // Next to the middle between two bfloat16 those last bits decide.
            #expect(differing <= (dtype == "f32" ? 0 : 1), "\(name)")
        }
    }

    /// To the nearest, ties to even.
    private static func roundedToBF16(_ value: Float) -> Float {
        let bits = value.bitPattern
        return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
    }

    private static func values(_ bytes: [UInt8], _ dtype: String) -> [Float] {
        bytes.withUnsafeBytes { bytes in
            if dtype == "f32" { return Array(bytes.bindMemory(to: Float.self)) }
            return bytes.bindMemory(to: UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
        }
    }
}
