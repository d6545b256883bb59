import Adapters
import LosslessJSON
import Tensors
import Testing

/// Factors of convolutions: lora_A [r, in, kernel…], lora_B [out, r, 1…].
@Suite struct ConvolutionTests {
    private let a = "base_model.model.conv.lora_A.weight"
    private let b = "base_model.model.conv.lora_B.weight"

    private func problems(_ shapeOfA: [Int], _ shapeOfB: [Int]) throws -> ([AdapterTensorProblem], String) {
        let directory = try TemporaryDirectory.adapter([], [StoredTensor(a, shapeOfA), StoredTensor(b, shapeOfB)])
        do {
            _ = try LoRAAdapter(testing: directory.path)
            return ([], "")
        } catch let error as AdapterError {
            guard case .inconsistentTensors(_, let problems) = error else { throw error }
            return (problems, "\(error)")
        }
    }

    @Test(arguments: [[3], [1], [3, 2], [1, 1], [2, 3, 2], [1, 1, 1]])
    func kernelsAreColumns(_ kernel: [Int]) throws {
        let size = kernel.reduce(1, *)
        let ones = kernel.map { _ in 1 }
        let valuesOfA = (0..<2 * 4 * size).map { Float($0) }
        let valuesOfB = (0..<5 * 2).map { Float($0) - 3 }
        let factors = [
            StoredTensor(a, [2, 4] + kernel, values: valuesOfA), StoredTensor(b, [5, 2] + ones, values: valuesOfB),
        ]
        // PEFT does not look at fan_in_fan_out for convolutions.
        for fanInFanOut in [false, true] {
            let directory = try TemporaryDirectory.adapter([("fan_in_fan_out", .bool(fanInFanOut))], factors)
            let adapter = try LoRAAdapter(testing: directory.path)
            #expect(adapter.modules.map(\.kind) == [.convolution(kernel: kernel)])
            let weight = LogicalTensor(name: "conv.weight", shape: [5, 4] + kernel, encoding: .dense(.bf16))
            let match = try #require(try adapter.match(to: [weight]).first)
            let read = try adapter.factors(ofModule: 0, placement: match.placement)
            #expect((read.blocks, read.rows, read.columns, read.rank) == (1, 5, 4 * size, 2))
            #expect(read.left == valuesOfB)
            #expect(read.right == valuesOfA)
            // Columns are held in panels of 64.
            let heldColumns = (4 * size + 63) / 64 * 64
            #expect(
                adapter.factorBytes(ofChange: 0, placement: match.placement) == (2 * (5 + heldColumns)) * 4)
        }
    }

    @Test func otherKernelsDoNotFit() throws {
        let directory = try TemporaryDirectory.adapter(
            [], [StoredTensor(a, [2, 4, 3, 3]), StoredTensor(b, [5, 2, 1, 1])])
        let adapter = try LoRAAdapter(testing: directory.path)
        for shape in [[5, 4, 3], [5, 4, 3, 2], [5, 36], [4, 5, 3, 3]] {
            let weight = LogicalTensor(name: "conv.weight", shape: shape, encoding: .dense(.bf16))
            #expect(
                throws: AdapterError.unmatched(
                    adapter: directory.path, count: 1,
                    [.shape(name: "conv.weight", expected: [5, 4, 3, 3], found: shape, fitsTransposed: false)])
            ) { try adapter.match(to: [weight]) }
        }
    }

    @Test func groupsAreRefusedByName() throws {
        let (problems, text) = try problems([2, 6, 3, 3], [8, 1, 1, 1])
        #expect(problems == [.groups(module: "conv", a: 2, b: 1)])
        #expect(text.contains("2 groups"))
        #expect(text.contains("unmerged"))
    }

    @Test func shapesThatAreNoConvolutionsAreNamed() throws {
        #expect(
            try problems([2, 4, 3, 3], [5, 2, 3, 3]).0
                == [.noConvolution(module: "conv", a: [2, 4, 3, 3], b: [5, 2, 3, 3])])
        #expect(
            try problems([2, 4, 3], [5, 2]).0 == [.noConvolution(module: "conv", a: [2, 4, 3], b: [5, 2])])
        #expect(try problems([2, 4, 0], [5, 2, 1]).0 == [.shape(tensor: a, found: [2, 4, 0])])
        let (problems, text) = try problems([2, 4, 1, 1, 1, 1], [5, 2, 1, 1, 1, 1])
        #expect(problems == [.shape(tensor: a, found: [2, 4, 1, 1, 1, 1])])
        #expect(text.contains("3 to 5 for a convolution"))
    }

    @Test func magnitudesHaveTheShapeOfAKernel() throws {
        let name = "base_model.model.conv.lora_magnitude_vector"
        let pair = [StoredTensor(a, [2, 4, 3]), StoredTensor(b, [5, 2, 1])]
        let on: [(String, JSONValue)] = [("use_dora", true)]
        let directory = try TemporaryDirectory.adapter(on, pair + [StoredTensor(name, [1, 5, 1])])
        #expect(try LoRAAdapter(testing: directory.path).modules[0].hasMagnitude)
        let wrong = try TemporaryDirectory.adapter(on, pair + [StoredTensor(name, [5])])
        #expect(throws: AdapterError.self) { try LoRAAdapter(testing: wrong.path) }
    }
}
