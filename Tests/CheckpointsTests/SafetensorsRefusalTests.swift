import Checkpoints
import LosslessJSON
import SystemPackage
import Tensors
import TestSupport
import Testing

/// Every way in which a header can be wrong is named.
@Suite struct SafetensorsRefusalTests {
    private func problem(_ bytes: [UInt8]) throws -> SafetensorsProblem? {
        try withTemporaryDirectory { directory throws in
            let path = directory.appending("bad.safetensors")
            try write(bytes, to: path)
            do {
                _ = try SafetensorsFile(path: path)
                return nil
            } catch CheckpointError.invalidSafetensors(let file, let problem) {
                #expect(file == path)
                #expect(!problem.description.isEmpty)
                return problem
            }
        }
    }

    private func entry(_ dtype: String, _ shape: String, _ offsets: String) -> String {
        #"{"a":{"dtype":"\#(dtype)","shape":\#(shape),"data_offsets":\#(offsets)}}"#
    }

    @Test func lengths() throws {
        #expect(try problem([]) == .tooShort(fileSize: 0))
        #expect(try problem([1, 2, 3]) == .tooShort(fileSize: 3))
        let huge = [UInt8](repeating: 0xff, count: 8) + Array("{}".utf8)
        #expect(try problem(huge) == .headerTooLong(length: .max, limit: 100_000_000))
        #expect(try problem([3, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8)) == .headerBeyondFile(length: 3, fileSize: 10))
        #expect(try problem([0, 0, 0, 0, 0, 0, 0, 0]) == .headerIsNoObject)
        #expect(try problem(safetensors("{}")) == nil)
    }

    @Test func json() throws {
        #expect(try problem(safetensors("[]")) == .headerIsNoObject)
        #expect(try problem(safetensors(" {}")) == .headerIsNoObject)
        for text in ["{", "{}x", "{,}", #"{"a":}"#, #"{"a""#] {
            guard case .invalidJSON = try problem(safetensors(text)) else {
                Issue.record("\(text) is not refused as JSON")
                continue
            }
        }
        guard case .invalidJSON(let error) = try problem(safetensors("{\"\u{7f}") + [0xff]) else {
            Issue.record("not refused")
            return
        }
        #expect(error.reason == .unexpectedEnd)
    }

    @Test func names() throws {
        let one = #""a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#
        #expect(try problem(safetensors("{\(one),\(one)}")) == .duplicateName("a"))
        #expect(
            try problem(safetensors(#"{"__metadata__":{},"__metadata__":{}}"#)) == .duplicateName("__metadata__"))
        #expect(try problem(safetensors(#"{"__metadata__":[]}"#)) == .invalidMetadata(found: "a list"))
        #expect(
            try problem(safetensors(#"{"__metadata__":{"a":1}}"#))
                == .invalidMetadata(found: #"a number as the value of "a""#))
        #expect(
            try problem(safetensors(#"{"__metadata__":{"a":"","a":""}}"#))
                == .duplicateKey(name: "__metadata__", key: "a"))
    }

    /// Two spellings of one name are not the same name twice, but no two names either.
    @Test func equivalentNames() throws {
        let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}")
        let names = try #require(EquivalentNames(composed, decomposed))
        #expect(EquivalentNames(composed, composed) == nil && EquivalentNames("a", "b") == nil)
        let entry = #"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#
        let found = try problem(safetensors(#"{"\#(composed)":\#(entry),"\#(decomposed)":\#(entry)}"#))
        #expect(found == .equivalentNames(names))
        #expect(
            names.description.hasPrefix(
                #""caf\u{e9}" and "cafe\u{301}" differ only in how a character is written"#))
        let pieces = [composed, decomposed].map { SafetensorsPiece(name: $0, dtype: .u8, shape: [0], byteCount: 0) }
        #expect(throws: CheckpointError.unwritable(reason: "the names of tensors \(names)")) {
            try SafetensorsLayout(pieces: pieces, metadata: [:])
        }
    }

    @Test func equivalentNamesInShards() throws {
        try withTemporaryDirectory { directory throws in
            for (shard, name) in [("a", "caf\u{e9}"), ("b", "cafe\u{301}")] {
                try write(
                    safetensors(#"{"\#(name)":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#),
                    to: directory.appending("\(shard).safetensors"))
            }
            let index = directory.appending("model.safetensors.index.json")
            for (map, phrase) in [
                (
                    #""caf\u00e9": "a.safetensors", "x": "b.safetensors""#,
                    #"in a.safetensors and b.safetensors "caf\u{e9}""#
                ),
                (#""caf\u00e9": "a.safetensors", "cafe\u0301": "b.safetensors""#, "differs only in how a character"),
            ] {
                try write(Array(#"{"weight_map": {\#(map)}}"#.utf8), to: index)
                let error = #expect(throws: CheckpointError.self) { try WeightsCheckpoint(path: index) }
                #expect(error?.description.contains(phrase) == true, "\(error as Any)")
            }
        }
    }

    @Test func entries() throws {
        #expect(try problem(safetensors(#"{"a":1}"#)) == .entryIsNoObject(name: "a", found: "a number"))
        #expect(
            try problem(safetensors(#"{"a":{"dtype":"U8","shape":[0]}}"#))
                == .missingKey(name: "a", key: "data_offsets"))
        #expect(try problem(safetensors(#"{"a":{"shape":[0]}}"#)) == .missingKey(name: "a", key: "dtype"))
        #expect(try problem(safetensors(#"{"a":{"dtype":"U8"}}"#)) == .missingKey(name: "a", key: "shape"))
        #expect(try problem(safetensors(#"{"a":{"strides":[1]}}"#)) == .unknownKey(name: "a", key: "strides"))
        #expect(
            try problem(safetensors(#"{"a":{"dtype":"U8","dtype":"U8"}}"#)) == .duplicateKey(name: "a", key: "dtype"))
        #expect(
            try problem(safetensors(#"{"a":{"dtype":8}}"#)) == .wrongType(name: "a", key: "dtype", expected: "a string")
        )
        for dtype in ["f32", "F33", "", "BF16 "] {
            #expect(
                try problem(safetensors(entry(dtype, "[0]", "[0,0]"))) == .unknownDType(name: "a", dtype: dtype))
        }
    }

    @Test(arguments: [
        "1", "null", "[-1]", "[1.0]", "[1e2]", #"["1"]"#, "[[1]]", "[null]", "[99999999999999999999]", "{}",
        "[9223372036854775808]",
    ])
    func shapes(shape: String) throws {
        #expect(
            try problem(safetensors(entry("U8", shape, "[0,0]")))
                == .wrongType(name: "a", key: "shape", expected: "a list of integers from 0 on"))
    }

    @Test func sizes() throws {
        let big = "[4294967296,4294967296]"
        #expect(
            try problem(safetensors(entry("U8", big, "[0,0]")))
                == .tooLarge(name: "a", dtype: .u8, shape: [1 << 32, 1 << 32]))
        #expect(
            try problem(safetensors(entry("F64", "[1152921504606846976]", "[0,0]")))
                == .tooLarge(name: "a", dtype: .f64, shape: [1 << 60]))
        #expect(
            try problem(safetensors(entry("F4", "[3]", "[0,2]"), data: [0, 0]))
                == .partialByte(name: "a", dtype: .f4, shape: [3]))
        #expect(
            try problem(safetensors(entry("F32", "[2]", "[0,4]"), data: [0, 0, 0, 0]))
                == .wrongSize(name: "a", dtype: .f32, shape: [2], expected: 8, found: 4))
        let ones = "[" + Array(repeating: "1", count: 65).joined(separator: ",") + "]"
        #expect(
            try problem(safetensors(entry("U8", ones, "[0,1]"), data: [0])) == .tooManyDimensions(name: "a", limit: 64))
    }

    @Test(arguments: ["[0]", "[0,1,2]", "0", "[-1,0]", "[0.0,1]", "[0,18446744073709551616]"])
    func offsetTypes(offsets: String) throws {
        #expect(
            try problem(safetensors(entry("U8", "[1]", offsets), data: [0]))
                == .wrongType(name: "a", key: "data_offsets", expected: "two integers from 0 on"))
    }

    @Test func placement() throws {
        func two(_ a: String, _ b: String) -> String {
            """
            {"a":{"dtype":"U8","shape":[2],"data_offsets":\(a)},"b":{"dtype":"U8","shape":[2],"data_offsets":\(b)}}
            """
        }
        #expect(try problem(safetensors(two("[0,2]", "[2,4]"), data: [1, 2, 3, 4])) == nil)
        #expect(
            try problem(safetensors(two("[2,0]", "[2,4]"), data: [1, 2, 3, 4]))
                == .backwardOffsets(name: "a", begin: 2, end: 0))
        #expect(
            try problem(safetensors(two("[0,2]", "[1,3]"), data: [1, 2, 3])) == .overlap(name: "b", other: "a"))
        #expect(
            try problem(safetensors(two("[0,2]", "[0,2]"), data: [1, 2])) == .overlap(name: "b", other: "a"))
        #expect(
            try problem(safetensors(two("[0,2]", "[3,5]"), data: [1, 2, 3, 4, 5]))
                == .hole(beforeTensor: "b", byteCount: 1))
        #expect(
            try problem(safetensors(two("[1,3]", "[3,5]"), data: [1, 2, 3, 4, 5]))
                == .hole(beforeTensor: "a", byteCount: 1))
        #expect(try problem(safetensors(two("[0,2]", "[2,4]"), data: [1, 2, 3])) == .truncated(missingBytes: 1))
        #expect(try problem(safetensors(two("[0,2]", "[2,4]"), data: [1, 2, 3, 4, 5, 6])) == .oversized(extraBytes: 2))
        let far = two("[0,2]", "[9223372036854775805,9223372036854775807]")
        #expect(
            try problem(safetensors(far, data: [1, 2]))
                == .hole(beforeTensor: "b", byteCount: 9_223_372_036_854_775_803))
    }

    @Test func messagesNameTheFileAndTheWayOut() throws {
        let error = CheckpointError.invalidSafetensors(
            file: "model.safetensors", problem: .truncated(missingBytes: 12))
        #expect(
            error.description
                == "model.safetensors: the file is truncated: 12 bytes are missing at its end; download or copy it again"
        )
    }

    @Test func garbageOfFullLengthIsRefusedAtItsFirstWrongByte() throws {
        let header = [UInt8(ascii: "{")] + [UInt8](repeating: UInt8(ascii: "["), count: 20_000_000)
        let bytes = (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header
        let elapsed = try ContinuousClock().measure {
            guard case .invalidJSON = try problem(bytes) else {
                Issue.record("not refused")
                return
            }
        }
        #expect(elapsed < .seconds(10))
    }

    /// Damage anywhere in a header is refused, or leaves a file that is valid and stays inside its bytes.
    @Test func randomDamageNeverTraps() throws {
        let whole = try contents(Fixtures.path("sub-byte.safetensors"))
        let headerEnd = 8 + whole[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        let alphabet = Array("{}[]\":,0123456789-.eFU_ax\\ ".utf8)
        var random = SeededGenerator(seed: 7)
        var valid = 0
        for _ in 0..<20000 {
            var json = Array(whole[8..<headerEnd])
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 0..<json.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: json[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: json[place] = alphabet.randomElement(using: &random) ?? 0
                case 2: json.remove(at: place)
                default: json.insert(alphabet.randomElement(using: &random) ?? 0, at: place)
                }
            }
            let fileSize = 8 + json.count + whole.count - headerEnd
            guard let header = try? SafetensorsHeader(json: json, fileSize: fileSize) else { continue }
            valid += 1
            var position = 8 + json.count
            for entry in header.entries {
                #expect(entry.range.lowerBound == position)
                #expect(entry.dtype.byteCount(elements: entry.shape.reduce(1, *)) == entry.byteCount)
                position = entry.range.upperBound
            }
            #expect(position == fileSize)
        }
        #expect(valid > 100)
    }

    /// Headers that are laid out as the reference implementation does are read in a shorter way, which finds the same as the other.
    @Test func whiteSpaceChangesNothing() throws {
        let whole = try contents(Fixtures.path("sub-byte.safetensors"))
        let headerEnd = 8 + whole[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        let text = String(decoding: whole[8..<headerEnd], as: UTF8.self)
        let dataSize = whole.count - headerEnd
        let alphabet = Array("{}[]\":,0123456789-.eFU".utf8)
        var random = SeededGenerator(seed: 8)
        var kinds: Set<String> = []
        for round in 0..<20000 {
            var json = Array(text.utf8)
            for _ in 0..<(round == 0 ? 0 : 1) {
                let place = Int.random(in: 0..<json.count, using: &random)
                json[place] = alphabet.randomElement(using: &random) ?? 0
            }
            let spaced = String(decoding: json, as: UTF8.self).replacing("{\"dtype\"", with: "{ \"dtype\"")
            let layouts: [[UInt8]] = [json, Array(spaced.utf8)]
            let found = layouts.map { json -> String in
                do throws(SafetensorsProblem) {
                    let header = try SafetensorsHeader(json: json, fileSize: 8 + json.count + dataSize)
                    return header.entries.map { "\($0.name) \($0.dtype) \($0.shape) \($0.byteCount)" }
                        .joined(separator: "\n")
                } catch {
                    // Where the JSON is wrong differs by the spaces.
                    if case .invalidJSON(let problem) = error { return "\(problem.reason)" }
                    return "\(error)"
                }
            }
            #expect(found[0] == found[1], "\(String(decoding: json, as: UTF8.self))")
            kinds.insert(found[0])
        }
        #expect(kinds.count > 500)
    }
}
