import Checkpoints
import LosslessJSON
import SystemPackage
import Tensors
import TestSupport
import Testing

@Suite struct BitsAndBytesTests {
    private let path = Fixtures.path("bitsandbytes.safetensors")

    @Test func groupsThePiecesOfEveryVariant() throws {
        let checkpoint = try WeightsCheckpoint(path: path)
        let expected = try #require(try JSONValue(parsing: contents(Fixtures.path("bitsandbytes.json"))).array)
        #expect(checkpoint.tensors.count == expected.count + 1)
        for entry in expected {
            let tensor = try #require(checkpoint.tensors.first { $0.name == entry["name"]?.string })
            let quantization = try #require(tensor.encoding.blockQuantization)
            #expect(tensor.shape == entry["shape"]?.array?.compactMap(\.int))
            #expect(quantization.quantType.rawValue == entry["quant_type"]?.string)
            #expect(quantization.blocksize == entry["blocksize"]?.int)
            #expect(quantization.dtype.torchName == entry["dtype"]?.string)
            #expect((quantization.doubleQuantization != nil) == entry["double_quant"]?.bool)
            #expect(quantization.doubleQuantization?.offset.map(Double.init) == entry["offset"]?.double)
            #expect(quantization.doubleQuantization?.codebook == nil)
            #expect(quantization.storage?.dtype.torchName == entry["storage"]?.string)
            #expect(quantization.storage?.shape == entry["codes_shape"]?.array?.compactMap(\.int))
        }
        #expect(checkpoint.tensors.last?.name != nil)
        #expect(checkpoint.foreignQuantization == nil)
    }

    @Test func partsAreThePiecesBytes() throws {
        let checkpoint = try WeightsCheckpoint(path: path)
        let file = try SafetensorsFile(path: path)
        for (index, tensor) in checkpoint.tensors.enumerated() {
            for (part, byteCount) in tensor.parts {
                let suffix = [TensorPart.absmax: ".absmax", .nestedAbsmax: ".nested_absmax"][part] ?? ""
                let entry = try #require(file[tensor.name + suffix])
                #expect(entry.byteCount == byteCount)
                #expect(try bytes(part, ofTensor: index, checkpoint) == file.bytes(of: entry))
            }
        }
    }

    @Test func readsOutsideAPartAreRefused() throws {
        let checkpoint = try WeightsCheckpoint(path: path)
        let index = try #require(checkpoint.tensors.firstIndex { $0.encoding.denseDType != nil })
        var buffer = [UInt8](repeating: 0, count: 8)
        for (part, offset) in [(TensorPart.values, 7), (.values, -1), (.values, Int.max), (.codes, 0)] {
            #expect(throws: CheckpointError.self) {
                try buffer.withUnsafeMutableBytes { try checkpoint.read(part, ofTensor: index, at: offset, into: $0) }
            }
        }
    }

    @Test func quantStatesAreWrittenAsBitsandbytesWritesThem() throws {
        let file = try SafetensorsFile(path: path)
        var count = 0
        for entry in file.entries where entry.name.contains(".quant_state.") {
            let stored = try file.bytes(of: entry)
            #expect(try QuantState(parsing: stored).encoded() == stored)
            count += 1
        }
        #expect(count == 40)
    }

    /// Without the stored quant states and shapes the same bytes come out.
    @Test func aNewCheckpointHasTheBytesOfBitsandbytes() throws {
        let checkpoint = try WeightsCheckpoint(path: path)
        let tensors = checkpoint.tensors.map { tensor in
            var tensor = tensor
            guard case .blockQuantized(var quantization) = tensor.encoding else { return tensor }
            let dtype = quantization.storage?.dtype ?? .u8
            quantization.storage = dtype == .u8 ? nil : BitsAndBytesStorage(dtype: dtype, shape: [])
            tensor.encoding = .blockQuantized(quantization)
            return tensor
        }
        try withTemporaryDirectory { directory throws in
            let destination = directory.appending("new.safetensors")
            let writer = try SafetensorsCheckpointWriter(destination: destination, tensors: tensors)
            try copy(checkpoint, to: writer)
            try writer.commit()
            #expect(try contents(destination) == contents(path))
        }
    }

    @Test func unknownKeysOfAQuantStateAreKept() throws {
        let text =
            #"{"quant_type": "nf4", "blocksize": 64, "dtype": "torch.float16", "shape": [2, 3], "new": {"a": 1}}"#
        let state = try QuantState(parsing: Array(text.utf8))
        #expect(state == QuantState(quantType: .nf4, blocksize: 64, dtype: .f16, shape: [2, 3], nested: nil))
    }

    /// What is laid out as bitsandbytes does is read in a shorter way, which finds the same as the other.
    @Test func whiteSpaceOfAQuantStateChangesNothing() throws {
        let texts = [
            #"{"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [57, 15], "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.03125}"#,
            #"{"quant_type": "fp4", "blocksize": 128, "dtype": "float16", "shape": []}"#,
        ]
        let alphabet = Array("{}[]\":, 0123456789-.eE".utf8)
        var random = SeededGenerator(seed: 12)
        var states: Set<QuantState> = []
        for round in 0..<20000 {
            var text = Array(texts[round % 2].utf8)
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                let place = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text[place] = alphabet.randomElement(using: &random) ?? 0
                case 1: text.remove(at: place)
                default: text.insert(alphabet.randomElement(using: &random) ?? 0, at: place)
                }
            }
            let spaced = text[..<1] + [UInt8(ascii: " ")] + text[1...]
            let found = [text, Array(spaced)].map { text in try? QuantState(parsing: text) }
            #expect(found[0] == found[1], "\(String(decoding: text, as: UTF8.self))")
            if let state = found[0] { states.insert(state) }
        }
        #expect(states.count > 100)
    }

    @Test(arguments: [
        (#"{"blocksize": 64}"#, QuantizedTensorProblem.missingKey("quant_type")),
        (
            #"{"quant_type": "int8"}"#,
            .wrongValue(key: "quant_type", expected: "\"nf4\" or \"fp4\"", found: "\"int8\"")
        ),
        (
            #"{"quant_type": "nf4", "blocksize": 48}"#,
            .wrongValue(
                key: "blocksize", expected: "one of 32, 64, 128, 256, 512, 1024, 2048, 4096", found: "48")
        ),
        (
            #"{"quant_type": "nf4", "blocksize": 64, "dtype": "int8"}"#,
            .wrongValue(key: "dtype", expected: "\"float16\", \"bfloat16\" or \"float32\"", found: "\"int8\"")
        ),
        (
            #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [2, -3]}"#,
            .wrongValue(key: "shape", expected: "a list of integers from 0 on", found: "[2, -3]")
        ),
        (
            #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": null}"#,
            .wrongValue(key: "shape", expected: "a list of integers from 0 on", found: "null")
        ),
        (
            #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [2], "nested_offset": 0.5}"#,
            .missingKey("nested_dtype")
        ),
        (
            #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [2], "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 1e39}"#,
            .wrongValue(key: "nested_offset", expected: "a finite number", found: "1e39")
        ),
    ])
    func badQuantStatesAreNamed(text: String, problem: QuantizedTensorProblem) {
        #expect(throws: problem) { try QuantState(parsing: Array(text.utf8)) }
    }
}
