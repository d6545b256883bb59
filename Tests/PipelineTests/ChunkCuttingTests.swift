import Tensors
import Testing

@testable import Pipeline

@Suite struct ChunkCuttingTests {
    /// Chunks are whole granules, and whole rows if about as many elements have both.
    @Test(arguments: [
        (1, 131_072), (7, 114_688), (64, 131_072), (576, 147_456), (1536, 147_456), (4096, 131_072), (5120, 131_072),
        (14_336, 114_688), (11_008, 131_072), (100_003, 131_072),
        (147_456, 131_072), (1 << 20, 131_072),
    ])
    func chunksAreWholeRows(columns: Int, expected: Int) {
        let tensor = LogicalTensor(name: "w", shape: [1000, columns], encoding: .dense(.bf16))
        let program = TensorProgram(source: .input(0), input: tensor, operations: [], targetChunkElements: 1)
        #expect(program.granule == 16384)
        #expect(program.chunkElements == expected)
    }

    @Test(arguments: [[], [0], [3, 0], [1], [0, Int.max], [0, Int.max / 2 + 2]])
    func smallTensorsHaveChunks(shape: [Int]) {
        let tensor = LogicalTensor(name: "w", shape: shape, encoding: .dense(.f32))
        let program = TensorProgram(source: .input(0), input: tensor, operations: [], targetChunkElements: 1)
        #expect(program.chunkElements > 0 && program.chunkElements % program.granule == 0)
    }
}
