import Testing

@testable import Pipeline

@Suite struct HeldInputTests {
    /// What the first pass keeps of a chunk is what later ones find, until another tensor begins.
    @Test func scalesAreKeptByChunk() {
        let chunk = TensorProgram.smallestGranule
        let held = HeldInput(capacity: 3 * chunk * 2)
        for blocksize in [32, 64, 4096] {
            for start in [0, chunk, 2 * chunk] {
                // The last chunk ends within a block.
                let range = start..<(start == 2 * chunk ? 3 * chunk - 31 : start + chunk)
                let count = (range.count + blocksize - 1) / blocksize
                let scales = (0..<count).map { Float(start + $0) }
                held.forgetScales(of: range)
                #expect(held.scales(of: range, blocksize: blocksize) == nil)
                held.keep(scales, of: range, blocksize: blocksize)
                // Scales of other blocks do not take their place.
                held.keep([Float](repeating: -1, count: 2 * count), of: range, blocksize: blocksize / 2)
                #expect(held.scales(of: range, blocksize: blocksize / 2) == nil)
                let found = held.scales(of: range, blocksize: blocksize).map {
                    Array(UnsafeBufferPointer(start: $0, count: count))
                }
                #expect(found == scales)
            }
            let first = held.scales(of: 0..<chunk, blocksize: blocksize)
            #expect(first.map { $0[0] } == 0 && first.map { $0[1] } == 1)
        }
    }

    /// Of a tensor of 8-bit elements there are twice as many chunks.
    @Test func chunksOfBytesHaveTheirPlace() {
        let capacity = 4 * TensorProgram.smallestGranule
        let chunkCount = capacity / TensorProgram.smallestGranule
        #expect(HeldInput.byteCount(capacity: capacity) >= capacity + capacity / 16 + 8 * chunkCount)
        let held = HeldInput(capacity: capacity)
        for start in stride(from: 0, to: capacity, by: TensorProgram.smallestGranule) {
            held.forgetScales(of: start..<start + TensorProgram.smallestGranule)
        }
    }

    /// Two branches may keep scales of different blocks at the same time, of different chunks.
    @Test func scalesOfOtherChunksStay() {
        let chunk = TensorProgram.smallestGranule
        let held = HeldInput(capacity: 4 * chunk)
        let wide = [Float](repeating: 64, count: chunk / 64)
        let narrow = [Float](repeating: 32, count: chunk / 32)
        held.keep(narrow, of: 0..<chunk, blocksize: 32)
        held.keep(wide, of: chunk..<2 * chunk, blocksize: 64)
        let found = held.scales(of: 0..<chunk, blocksize: 32).map {
            Array(UnsafeBufferPointer(start: $0, count: narrow.count))
        }
        #expect(found == narrow)
    }

    @Test func itsMemoryIsCounted() {
        #expect(HeldInput.byteCount(capacity: 0) == 0)
        // A sixteenth more for scales, and hardly anything else.
        let capacity = 32 << 20
        let byteCount = HeldInput.byteCount(capacity: capacity)
        #expect(byteCount >= capacity + capacity / 16 && byteCount < capacity + capacity / 15)
    }
}
