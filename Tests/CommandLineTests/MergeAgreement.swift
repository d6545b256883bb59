import Foundation
import LosslessJSON
import Testing

/// Counts where merged tensors differ from those that PEFT and bitsandbytes made.
struct MergeAgreement {
    /// 4-bit codes that were compared, and those that differ.
    private(set) var codes = 0
    private(set) var differentCodes = 0
    /// 16-bit values that were compared, and those that differ.
    private(set) var values = 0
    private(set) var differentValues = 0

    /// Compares one stored tensor: exactly, but for what the order of additions in float32 moves.
    mutating func compare(
        _ ours: StoredTensors.Tensor, with theirs: StoredTensors.Tensor, named name: String, _ place: String
    ) throws {
        if name.contains("quant_state") { return try expectSameState(ours, theirs, place) }
        #expect(ours.dtype == theirs.dtype && ours.shape == theirs.shape, "\(place)")
        if theirs.dtype == "U8", !name.hasSuffix("absmax") {
            codes += theirs.codes.count
            differentCodes += differences(ours.codes, theirs.codes)
        } else if name.hasSuffix("absmax"), theirs.dtype == "F32" {
            // The order of additions inside B·A moves the largest value of a block by its last bits.
            #expect(
                zip(ours.floats, theirs.floats).allSatisfy { abs($0 - $1) <= 1e-6 * abs($1) + 1e-9 }, "\(place)")
        } else if name.hasSuffix("absmax") {
            #expect(differences(Array(ours.data), Array(theirs.data)) * 100 <= theirs.data.count, "\(place)")
        } else if theirs.dtype == "F32", !name.hasSuffix("quant_map") {
            #expect(
                zip(ours.floats, theirs.floats).allSatisfy { abs($0 - $1) <= 2e-6 * max(abs($1), 0.05) }, "\(place)")
        } else if ["BF16", "F16"].contains(theirs.dtype) {
            values += theirs.floats.count
            differentValues += differences(ours.floats, theirs.floats)
        } else {
            #expect(ours == theirs, "\(place)")
        }
    }

    /// At most 1 code and 1 value in 100,000 may differ.
    func expectAgreement(codes minimum: Int, values minimumOfValues: Int) {
        #expect(codes > minimum && values > minimumOfValues)
        #expect(differentCodes * 100_000 <= codes, "\(differentCodes) of \(codes) codes differ")
        #expect(differentValues * 100_000 <= values, "\(differentValues) of \(values) values differ")
    }

    /// Quant states are equal but for the last bits of the mean behind `nested_offset`.
    private func expectSameState(
        _ ours: StoredTensors.Tensor, _ theirs: StoredTensors.Tensor, _ place: String
    ) throws {
        var ourState = try JSONValue(parsing: ours.data)
        var theirState = try JSONValue(parsing: theirs.data)
        if let a = ourState["nested_offset"]?.double, let b = theirState["nested_offset"]?.double {
            #expect(abs(a - b) <= 2e-7 * abs(b), "\(place)")
        }
        ourState["nested_offset"] = nil
        theirState["nested_offset"] = nil
        #expect(ourState == theirState, "\(place)")
    }
}
