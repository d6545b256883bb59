import Tensors

/// Which tensor goes into which file.
struct ShardPlan: Sendable {
    /// For each file the indices of its tensors, in the order of the tensors.
    let shards: [[Int]]

    /// Splits as huggingface_hub's `split_state_dict_into_shards_factory` does, but never a tensor's pieces: in order, a
    /// new shard when the next tensor would not fit, and a shard of its own for a tensor that fits in none.
    init(byteCounts: [Int], maximumShardSize: Int?) {
        guard let limit = maximumShardSize else {
            shards = [Array(byteCounts.indices)]
            return
        }
        var shards: [[Int]] = []
        var current: [Int] = []
        var currentSize = 0
        for (index, byteCount) in byteCounts.enumerated() {
            if byteCount > limit {
                shards.append([index])
                continue
            }
            if byteCount > limit - currentSize {
                shards.append(current)
                current = []
                currentSize = 0
            }
            current.append(index)
            currentSize += byteCount
        }
        if !current.isEmpty || shards.isEmpty { shards.append(current) }
        self.shards = shards
    }

    /// The files' names: `model.safetensors`, or `model-00001-of-00003.safetensors`, …
    var fileNames: [String] {
        guard shards.count > 1 else { return ["model.safetensors"] }
        func padded(_ number: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        }
        return shards.indices.map { "model-\(padded($0 + 1))-of-\(padded(shards.count)).safetensors" }
    }
}
