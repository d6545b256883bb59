import Adapters
import LosslessJSON
import Testing

/// What a configuration says of single modules, against PEFT's own functions.
@Suite struct ModuleRulesTests {
    private func rules(_ changes: [(String, JSONValue)]) throws -> ModuleRules {
        let configuration = try LoRAConfiguration(
            TemporaryDirectory.configuration(changes), file: "adapter_config.json")
        return try ModuleRules(configuration, file: "adapter_config.json")
    }

    @Test func patternsMatchAsInPEFT() throws {
        let cases = try #require(try Fixtures.json("pattern-keys.json").array)
        #expect(cases.count > 100)
        for item in cases {
            let keys = item["keys"]!.array!.map { $0.string! }
            let module = item["module"]!.string!
            let expected = item["expected"]!.string!
            // Every key gets a rank of its own, so that the rank tells which matched.
            let pattern = JSONValue.object(.init(uniqueKeys: keys, values: keys.indices.map { .int($0 + 100) }))
            let rank = try rules([("rank_pattern", pattern)]).rank(of: module).rank
            let found = rank >= 100 ? keys[rank - 100] : module
            #expect(found == expected, "\(keys) on \(module)")
        }
    }

    @Test func targetsAreThoseOfPEFT() throws {
        let cases = try #require(try Fixtures.json("targets.json").array)
        #expect(cases.count > 100)
        for item in cases {
            let changes = item["config"]!.object!.map { ($0.key, $0.value) }
            let module = item["module"]!.string!
            let objection = try rules(changes).objection(to: module)
            #expect(
                (objection == nil) == item["expected"]!.bool!,
                "\(changes) on \(module): \(String(describing: objection))")
        }
    }

    @Test(arguments: [1, 2, 7, 8, 64, 256], [0.5, 1, 16, 200]) func scalingIsPythons(_ rank: Int, _ alpha: Double)
        throws
    {
        let plain = try rules([("lora_alpha", .double(alpha))])
        #expect(plain.scaling(of: "q_proj", rank: rank) == alpha / Double(rank))
        let stabilized = try rules([("lora_alpha", .double(alpha)), ("use_rslora", true)])
        #expect(stabilized.scaling(of: "q_proj", rank: rank) == alpha / Double(rank).squareRoot())
    }

    @Test func allLinearTargetsEverything() throws {
        #expect(try rules([("target_modules", "all-linear")]).objection(to: "any.thing") == nil)
    }

    /// Swift's regular expressions have no lookbehind: an error, rather than another rank than PEFT's.
    @Test(arguments: ["rank_pattern", "alpha_pattern"], ["(q_proj", "(?<!my_)q_proj"])
    func unreadablePatternsAreNamed(_ key: String, _ pattern: String) throws {
        #expect(throws: AdapterError.invalidPattern(file: "adapter_config.json", key: key, pattern: pattern)) {
            try rules([(key, .object([pattern: 4]))])
        }
    }

    /// Each could be matched to a path in more ways than anybody can try.
    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            "(([a-z_.0-9]+)+)+X", "(?:a|a)*X", "(a?a){9}X", "((?#()[a-z]+)*X", #"(\(a+)+X"#, "([^)]*[)]?){2,}X",
            "(?:(.*,)*.)+X", "[[(]a](b+)+X", "(a*)+?X", "(a{1,3}){,20}X", "(?x)#[\n(a+)+X#]", #"\Q[\E(a+)+X]"#,
            "(){1001}",
            "((a{9}){9}){9}",
        ])
    func patternsThatNeverEndAreRefused(_ pattern: String) throws {
        for (key, value) in [("rank_pattern", .object([pattern: 4])), ("target_modules", .string(pattern))]
            as [(String, JSONValue)]
        {
            #expect(throws: AdapterError.invalidPattern(file: "adapter_config.json", key: key, pattern: pattern)) {
                try rules([(key, value)]).rank(of: "model.layers.0.self_attn.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
            }
        }
    }

    /// What a repeated group may have, and groups that come once at most.
    @Test(arguments: [
        #"(?:.*\.)?layers\.(?:0|1)\..*(q|k|v)_proj"#, "(a.b)+", #"(?:\.[a-z])*.*"#, "[(+*)]+", #"\(a+\)+"#,
        "((a|b)??)?c",
        "(?i:Q_PROJ)+", "(?=.*a+)[a-z]+", #"(?:[\]+*]x)*"#, "(a|b+){1}", "(a*){0,1}", "(?#+)a+",
        // As training frameworks write them for models with several parts.
        #"(?:.*?(?:language|text).*?(?:attn|mlp).*?(?:q_proj|fc1).*?)|(?:\bmodel\.layers\.[\d]{1,}\.(?:mlp)\.(?:(?:up_proj)))"#,
        #"^(language_model|aligner)(?!.*(lm_head|output|emb)).*"#,
    ])
    func commonPatternsAreNot(_ pattern: String) throws {
        #expect(throws: Never.self) { try rules([("rank_pattern", .object([pattern: 4]))]) }
    }

    @Test(arguments: ["target_modules", "exclude_modules"]) func brokenSelectionsAreNamed(_ key: String) throws {
        #expect(throws: AdapterError.invalidPattern(file: "adapter_config.json", key: key, pattern: "[a-")) {
            try rules([(key, "[a-")])
        }
    }
}
