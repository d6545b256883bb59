import Pipeline
import Tensors
import Testing

@Suite struct GlobTests {
    @Test(arguments: [
        ("*", "", true), ("*", "a.b", true), ("a*", "a", true), ("a*c", "abbbc", true), ("a*c", "abbb", false),
        ("*.q_proj.weight", "model.layers.0.self_attn.q_proj.weight", true),
        ("*.q_proj.weight", "model.layers.0.self_attn.k_proj.weight", false),
        ("model.layers.?.mlp.*", "model.layers.3.mlp.up_proj.weight", true),
        ("model.layers.?.mlp.*", "model.layers.13.mlp.up_proj.weight", false),
        ("layers.[0-2].w", "layers.2.w", true), ("layers.[0-2].w", "layers.3.w", false),
        ("layers.[!0-2].w", "layers.3.w", true), ("layers.[!0-2].w", "layers.1.w", false),
        ("[]]", "]", true), ("a[b", "a[b", true), ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ("", "", true), ("", "a", false), ("**", "anything", true), ("a.b", "aXb", false),
    ])
    func matchesWholeText(pattern: String, text: String, expected: Bool) {
        #expect(Glob(pattern).matches(text) == expected)
    }

    @Test func matchesModulesAsWellAsTensors() {
        #expect(Glob("*.up_proj").matches(tensorName: "model.up_proj.weight"))
        #expect(!Glob("*.up_proj").matches(tensorName: "model.up_proj.bias"))
    }
}
