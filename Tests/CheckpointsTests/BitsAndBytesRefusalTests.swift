import Checkpoints
import SystemPackage
import Tensors
import Testing

/// A 4-bit weight whose pieces do not fit together is refused with the piece that is wrong.
@Suite struct BitsAndBytesRefusalTests {
    /// The pieces of one good weight, to be spoilt.
    private struct Pieces {
        var all: [String: (dtype: DType, shape: [Int], bytes: [UInt8])] = [:]

        init(_ weight: String) throws {
            let file = try SafetensorsFile(path: Fixtures.path("bitsandbytes.safetensors"))
            for entry in file.entries where entry.name == weight || entry.name.hasPrefix(weight + ".") {
                all[entry.name] = (entry.dtype, entry.shape, try file.bytes(of: entry))
            }
        }

        func problem() throws -> (name: String, problem: QuantizedTensorProblem)? {
            let names = all.keys.sorted()
            let pieces = names.map { name in
                let piece = all[name]!
                return SafetensorsPiece(
                    name: name, dtype: piece.dtype, shape: piece.shape, byteCount: piece.bytes.count)
            }
            let layout = try SafetensorsLayout(pieces: pieces, metadata: [:])
            var bytes = layout.header + [UInt8](repeating: 0, count: layout.fileSize - layout.header.count)
            for (name, offset) in zip(names, layout.offsets) {
                bytes.replaceSubrange(offset..<offset + all[name]!.bytes.count, with: all[name]!.bytes)
            }
            return try withTemporaryDirectory { directory throws in
                let path = directory.appending("x.safetensors")
                try write(bytes, to: path)
                do {
                    _ = try WeightsCheckpoint(path: path)
                    return nil
                } catch CheckpointError.invalidQuantizedTensor(let name, let problem) {
                    #expect(!problem.description.isEmpty)
                    return (name, problem)
                }
            }
        }
    }

    private let weight = "nf4.64.double.weight"

    @Test func goodPiecesAreAccepted() throws {
        #expect(try Pieces(weight).problem() == nil)
    }

    @Test(arguments: [".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", ""])
    func missingPieces(suffix: String) throws {
        var pieces = try Pieces(weight)
        pieces.all[weight + suffix] = nil
        let found = try pieces.problem()
        #expect(found?.name == weight)
        #expect(found?.problem == .missingPiece(name: weight + suffix))
    }

    @Test func missingQuantState() throws {
        var pieces = try Pieces(weight)
        pieces.all[weight + ".quant_state.bitsandbytes__nf4"] = nil
        let found = try pieces.problem()
        #expect(found?.name == weight)
        guard case .orphan = found?.problem else {
            Issue.record("\(String(describing: found))")
            return
        }
    }

    @Test func quantStates() throws {
        var pieces = try Pieces(weight)
        let name = weight + ".quant_state.bitsandbytes__"
        pieces.all[name + "nf5"] = pieces.all[name + "nf4"]
        #expect(try pieces.problem()?.problem == .unknownQuantState(piece: name + "nf5"))
        pieces.all[name + "nf5"] = nil
        pieces.all[name + "fp4"] = pieces.all[name + "nf4"]
        #expect(try pieces.problem()?.problem != nil)
        pieces.all[name + "nf4"] = nil
        #expect(
            try pieces.problem()?.problem
                == .wrongValue(key: "quant_type", expected: "\"fp4\" as in the piece's name", found: "\"nf4\""))
        pieces.all[name + "fp4"] = (.u8, [100_000], [UInt8](repeating: 32, count: 100_000))
        #expect(try pieces.problem()?.problem == .quantStateTooLong(byteCount: 100_000))
        pieces.all[name + "fp4"] = (.u8, [3], Array("{x}".utf8))
        guard case .invalidJSON = try pieces.problem()?.problem else {
            Issue.record("not refused as JSON")
            return
        }
    }

    @Test func piecesOfTheWrongKind() throws {
        for (suffix, dtype, shape, byteCount) in [
            (".absmax", DType.f32, [2], 8), (".absmax", .u8, [3], 3), (".absmax", .u8, [1], 1),
            (".absmax", .u8, [2, 1], 2), (".quant_map", .f16, [16], 32), (".quant_map", .f32, [15], 60),
            (".nested_absmax", .f32, [2], 8), (".nested_quant_map", .f32, [255], 1020), ("", .u8, [62, 1], 62),
        ] {
            var pieces = try Pieces(weight)
            pieces.all[weight + suffix] = (dtype, shape, [UInt8](repeating: 0, count: byteCount))
            guard case .wrongPiece(let piece, _, _) = try pieces.problem()?.problem else {
                Issue.record("\(suffix) \(dtype) \(shape) is accepted")
                continue
            }
            #expect(piece == weight + suffix)
        }
    }

    @Test func otherCodebooks() throws {
        var pieces = try Pieces(weight)
        pieces.all[weight + ".quant_map"]?.bytes[5] ^= 1
        #expect(
            try pieces.problem()?.problem
                == .nonStandardCodebook(piece: weight + ".quant_map", quantType: .nf4))
    }

    @Test func impossibleShapes() throws {
        var pieces = try Pieces(weight)
        let text = #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [4294967296, 4294967296]}"#
        pieces.all[weight + ".quant_state.bitsandbytes__nf4"] = (.u8, [text.utf8.count], Array(text.utf8))
        #expect(try pieces.problem()?.problem == .tooLarge(shape: [1 << 32, 1 << 32]))
    }

    @Test func anotherNestedCodebookIsCarried() throws {
        let file = try SafetensorsFile(path: Fixtures.path("bitsandbytes.safetensors"))
        var bytes = try contents(file.path)
        let entry = try #require(file[weight + ".nested_quant_map"])
        bytes[entry.range.lowerBound] ^= 1
        try withTemporaryDirectory { directory throws in
            let path = directory.appending("x.safetensors")
            try write(bytes, to: path)
            let checkpoint = try WeightsCheckpoint(path: path)
            let tensor = try #require(checkpoint.tensors.first { $0.name == weight })
            #expect(tensor.encoding.blockQuantization?.doubleQuantization?.codebook?.count == 256)
            let copyPath = directory.appending("copy.safetensors")
            let writer = try SafetensorsCheckpointWriter(destination: copyPath, tensors: checkpoint.tensors)
            try copy(checkpoint, to: writer)
            try writer.commit()
            #expect(try contents(copyPath) == bytes)
        }
    }

    @Test func foreignQuantizationIsTold() throws {
        for (name, method) in [
            ("model.layers.0.mlp.up_proj.SCB", "bitsandbytes LLM.int8"), ("a.qweight", "GPTQ or AWQ"),
            ("a.weight_packed", "compressed-tensors"),
        ] {
            let layout = try SafetensorsLayout(
                pieces: [SafetensorsPiece(name: name, dtype: .f32, shape: [1], byteCount: 4)], metadata: [:])
            try withTemporaryDirectory { directory throws in
                let path = directory.appending("x.safetensors")
                try write(layout.header + [0, 0, 0, 0], to: path)
                let checkpoint = try WeightsCheckpoint(path: path)
                #expect(checkpoint.foreignQuantization?.method == method)
                #expect(checkpoint.tensors.map(\.name) == [name])
            }
        }
    }
}
