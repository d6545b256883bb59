import Tensors

extension ContainerIndex {
    /// Refuses what a container cannot hold or a reader would refuse.
    func checkWritable(sideFiles: [SideFile]) throws(CheckpointError) {
        guard items.count + sideFiles.count < NF4ContainerFormat.maximumItemCount else {
            throw .unwritable(
                reason: "a container holds at most \(NF4ContainerFormat.maximumItemCount - 1) tensors and files")
        }
        for item in items { try ContainerIndex.checkWritable(item) }
        for name in items.map(\.name) + sideFiles.map(\.name.string)
        where name.utf8.count > NF4ContainerFormat.maximumNameSize {
            throw .unwritable(reason: "the name \"\(name.prefix(80))…\" is longer than a container can hold")
        }
        for item in adapterRange where items[item].encoding.denseDType == nil {
            throw .unwritable(reason: "the adapter tensor \"\(items[item].name)\" is quantized")
        }
        try ContainerIndex.checkUnique(items[modelRange].map(\.name), "tensors")
        try ContainerIndex.checkUnique(adapters.map(\.name), "adapters")
        for adapter in adapters {
            try ContainerIndex.checkUnique(adapter.tensors.map(\.name), "tensors of the adapter \"\(adapter.name)\"")
            try ContainerIndex.checkUnique(adapter.modules.map(\.name), "modules of the adapter \"\(adapter.name)\"")
            for module in adapter.modules {
                guard module.rank >= 0, module.factors.allSatisfy({ adapter.tensors.indices.contains($0.tensor) }),
                    module.factors.count <= NF4ContainerAdapter.Role.allCases.count
                else {
                    throw .unwritable(
                        reason:
                            "the module \"\(module.name)\" of the adapter \"\(adapter.name)\" has impossible factors")
                }
            }
        }
        try ContainerIndex.checkUnique(sideFiles.map(\.name.string), "side files")
        for file in sideFiles where !isPlainFileName(file.name.string) {
            throw .unwritable(reason: "\"\(file.name)\" is no name for a side file in a container")
        }
    }

    private static func checkWritable(_ tensor: LogicalTensor) throws(CheckpointError) {
        guard tensor.shape.count <= NF4ContainerFormat.maximumRank, let elements = checkedElementCount(tensor.shape),
            elements <= Int.max / 64
        else {
            throw .unwritable(reason: "tensor \"\(tensor.name)\": its shape \(tensor.shape) is larger than any file")
        }
        switch tensor.encoding {
        case .dense(let dtype):
            guard dtype.byteCount(elements: elements) != nil else {
                throw .unwritable(
                    reason: "tensor \"\(tensor.name)\": \(dtype.rawValue) \(tensor.shape) does not fill whole bytes")
            }
        case .blockQuantized(let quantization):
            let valid = BlockQuantization.validBlocksizes
            guard QuantState.dtypes.contains(quantization.dtype) else {
                throw .unwritable(
                    reason: "tensor \"\(tensor.name)\": its quant state says \(quantization.dtype.rawValue)")
            }
            guard valid.contains(quantization.blocksize),
                quantization.doubleQuantization.map({ valid.contains($0.blocksize) }) ?? true,
                quantization.doubleQuantization?.codebook.map({ $0.count == 256 }) ?? true
            else {
                throw .unwritable(
                    reason: "tensor \"\(tensor.name)\": its blocksizes or its codebook are none that bitsandbytes has")
            }
            guard let storage = quantization.storage else { return }
            guard storage.shape.count <= NF4ContainerFormat.maximumRank, storage.shape.allSatisfy({ $0 >= 0 }) else {
                throw .unwritable(reason: "tensor \"\(tensor.name)\": its stored shape \(storage.shape) is impossible")
            }
        }
    }

    private static func checkUnique(_ names: [String], _ things: String) throws(CheckpointError) {
        var seen = Set<[UInt8]>()
        for name in names where !seen.insert(Array(name.utf8)).inserted {
            throw .unwritable(reason: "two \(things) are named \"\(name)\"")
        }
    }

    /// Sets the offsets of scales that were told late.
    mutating func setOffsets(_ offsets: [Int: Float]) throws(CheckpointError) {
        for item in modelRange {
            guard var quantization = items[item].encoding.blockQuantization,
                var double = quantization.doubleQuantization
            else { continue }
            if let offset = offsets[item] { double.offset = offset }
            guard double.offset != nil else {
                throw .unwritable(reason: "tensor \"\(items[item].name)\": the mean of its scales was never told")
            }
            quantization.doubleQuantization = double
            items[item].encoding = .blockQuantized(quantization)
        }
    }

    /// The streams of a container without compression, whose sizes and places are known before the data.
    mutating func addStoredStreams() {
        for number in chunks.indices {
            chunks[number].streams = chunks[number].parts.map {
                StoredStream(method: .stored, storedSize: $0.byteCount, crc: 0)
            }
        }
        _ = placeStreams(aligned: true)
    }
}
