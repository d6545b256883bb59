import Reports
import Testing

/// Conditions on figures.
@Suite struct GateTests {
    private func gate(_ text: String, _ sense: Gate.Sense = .failIf) throws -> Gate {
        try Gate(
            parsing: text, sense: sense, tensorFigures: ["update_kept", "relative_error"],
            overallFigures: ["missing", "relative_error"])
    }

    @Test(arguments: [
        ("update_kept < 0.9", Gate.Comparison.less, 0.9), ("update_kept<90%", .less, 0.9),
        ("  update_kept  >=  5e-3 ", .greaterOrEqual, 0.005), ("update_kept == 1", .equal, 1),
        ("update_kept != -2.5 %", .notEqual, -0.025), ("update_kept <= +1", .lessOrEqual, 1),
        ("update_kept > .5", .greater, 0.5),
    ])
    func conditions(text: String, comparison: Gate.Comparison, limit: Double) throws {
        let gate = try gate(text)
        #expect(gate.figure == "update_kept")
        #expect(gate.comparison == comparison)
        #expect(gate.limit == limit)
        #expect(gate.scope == .tensor)
    }

    @Test(arguments: [
        "", "update_kept", "update_kept 0.9", "< 0.9", "update_kept <", "update_kept < x", "update_kept =< 1",
        "update_kept <> 1", "kept < 1", "overall.update_kept < 1", "update_kept < inf", "update_kept < nan",
        "update_kept < 1 < 2",
    ])
    func whatIsNoCondition(text: String) {
        #expect(throws: GateError.self) { _ = try gate(text) }
    }

    @Test func scopes() throws {
        #expect(try gate("relative_error > 1").scope == .tensor)
        #expect(try gate("overall.relative_error > 1").scope == .overall)
        #expect(try gate("missing > 0").scope == .overall)
        #expect(try gate("overall.missing > 0").scope == .overall)
    }

    @Test func failuresNameTensors() throws {
        let tensors: [(name: String, value: Double?)] = [("a", 0.5), ("b", nil), ("c", 0.95), ("d", 0.1)]
        let failIf = GateResult(try gate("update_kept < 0.9"), tensors: tensors, overall: [])
        #expect(failIf.checked == 3)
        #expect(failIf.failures.map(\.tensor) == ["a", "d"])
        #expect(!failIf.hasPassed)
        #expect(failIf.text() == "gate failed: fail if update_kept < 0.9: 2 of 3 tensors: a (0.5000), d (0.1000)")
        #expect(failIf.text(limit: 1).hasSuffix("a (0.5000), and 1 more"))

        let require = GateResult(try gate("update_kept >= 0.9", .require), tensors: tensors, overall: [])
        #expect(require.failures == failIf.failures)
        let passed = GateResult(try gate("update_kept >= 0.1", .require), tensors: tensors, overall: [])
        #expect(passed.hasPassed)
    }

    @Test func aGateWithNothingToLookAtFails() throws {
        let result = GateResult(try gate("update_kept < 0.9"), tensors: [("a", nil)], overall: [])
        #expect(!result.hasPassed)
        #expect(result.text().contains("nothing was checked"))
        #expect(!GateResult(try gate("missing > 0"), tensors: [], overall: []).hasPassed)
        #expect(GateResult(try gate("missing > 0"), tensors: [], overall: [(nil, 0)]).hasPassed)
        #expect(!GateResult(try gate("missing > 0"), tensors: [], overall: [(nil, 2)]).hasPassed)
    }

    @Test func aNaNFailsEveryGate() throws {
        for text in ["update_kept < 0.9", "update_kept > 0.9"] {
            #expect(!GateResult(try gate(text), tensors: [("a", .nan)], overall: []).hasPassed)
            #expect(!GateResult(try gate(text, .require), tensors: [("a", .nan)], overall: []).hasPassed)
        }
    }
}
