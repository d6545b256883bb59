import Adapters
import Foundation
import SystemPackage
import Tensors
import Testing

/// Adapters that PEFT saved, against PEFT's own scaling and update of every module.
@Suite struct PEFTAdapterTests {
    static let fixtures = [
        "plain", "rslora", "patterns", "patterns-rslora", "fan-in-fan-out", "layers-to-transform", "regex-targets",
        "float16", "bfloat16",
    ]

    @Test(arguments: fixtures) func updatesAreThoseOfPEFT(_ fixture: String) throws {
        let directory = Fixtures.directory.appending(fixture)
        let adapter = try LoRAAdapter(testing: directory)
        let expected = try SafetensorsBytes(directory.appending("expected.safetensors"))
        #expect(adapter.modules.count * 2 == expected.tensors.count)

        for (index, module) in adapter.modules.enumerated() {
            let scaling = try #require(expected.bytes(named: "\(module.name).scaling"))
            #expect(module.scaling == scaling.withUnsafeBytes { $0.loadUnaligned(as: Double.self) })
            let bytes = try #require(expected.bytes(named: "\(module.name).update"))
            let update = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
            let factors = try adapter.factors(ofModule: index)
            #expect(factors.scaling == module.scaling)
            #expect(factors.left.count == factors.rows * factors.rank)
            #expect(factors.right.count == factors.rank * factors.columns)
            try #require(update.count == factors.rows * factors.columns)
            let ours = product(factors)
            let largest = update.reduce(0) { max($0, abs($1)) }
            #expect(zip(ours, update).allSatisfy { abs($0 - $1) <= largest * 1e-6 })
            #expect(largest > 0)
        }
    }

    @Test(arguments: fixtures) func modulesFindTheirWeights(_ fixture: String) throws {
        let adapter = try LoRAAdapter(testing: Fixtures.directory.appending(fixture))
        let tensors = try Fixtures.base(of: fixture)
        let matches = try adapter.match(to: tensors)
        #expect(matches.map(\.change) == Array(adapter.changes.indices))
        for match in matches {
            let module = adapter.modules[match.change]
            #expect(tensors[match.tensor].name == module.name + ".weight")
            let factors = try adapter.factors(ofModule: match.change)
            #expect(tensors[match.tensor].shape == [factors.rows, factors.columns])
        }
    }

    @Test func ranksComeFromPatternsInTheirOrder() throws {
        let adapter = try LoRAAdapter(testing: Fixtures.directory.appending("patterns"))
        func module(_ name: String) throws -> LoRAModule {
            try #require(adapter.modules.first { $0.name == "model.layers.\(name)" })
        }
        #expect(try module("0.q_proj").rank == 2)
        #expect(try module("0.q_proj").alpha == 3)
        #expect(try module("1.k_proj").rank == 5)
        #expect(try module("2.up_proj").rank == 3)
        #expect(try module("0.up_proj").rank == 7)
        #expect(try module("2.down_proj").scaling == 0.5 / 3)
        #expect(try module("2.k_proj").scaling == 2)
    }

    @Test func onlyTheTrainedLayersAreThere() throws {
        let adapter = try LoRAAdapter(testing: Fixtures.directory.appending("layers-to-transform"))
        #expect(adapter.configuration.layersToTransform == [0, 2])
        #expect(
            Set(adapter.modules.map(\.name))
                == Set([0, 2].flatMap { ["model.layers.\($0).q_proj", "model.layers.\($0).down_proj"] }))
    }

    @Test func filesAreListed() throws {
        let directory = Fixtures.directory.appending("plain")
        let files = try LoRAAdapter(testing: directory).files
        #expect(files.map { $0.lastComponent?.string } == ["adapter_config.json", "adapter_model.safetensors"])
    }

    /// left · right in float64, rounded, then times the scaling in float32.
    private func product(_ factors: LowRankFactors) -> [Float] {
        var out: [Float] = []
        for row in 0..<factors.rows {
            for column in 0..<factors.columns {
                var sum = 0.0
                for k in 0..<factors.rank {
                    sum +=
                        Double(factors.left[row * factors.rank + k])
                        * Double(factors.right[k * factors.columns + column])
                }
                out.append(Float(sum) * Float(factors.scaling))
            }
        }
        return out
    }
}
