/// An entry of `llm_int8_skip_modules`, matched as transformers 5.23 matches it (`should_convert_module`): as a regular
/// expression from the start of a module's path up to a boundary (`layers.1` matches `layers.1.attn`, not `layers.11`), or
/// as the end of the path.
struct SkipModulePattern: Sendable {
    private let text: String
    /// Names without special characters, nearly all, need no expression; a '.' in one stands for itself.
    private let isPlain: Bool

    init(_ text: String) {
        self.text = text
        isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }

    func matches(_ module: String) -> Bool {
        if module.hasSuffix(text) { return true }
        guard isPlain else {
            return matchesExpression(module)
        }
        guard module.hasPrefix(text) else { return false }
        let rest = module.dropFirst(text.count)
        return rest.isEmpty || rest.first == "." || text.last == "."
    }

    private func matchesExpression(_ module: String) -> Bool {
        if let regex = try? Regex("(?:\(text))(?=\\.|$)"), (try? regex.prefixMatch(in: module)) != nil { return true }
        // Behind an expression that ends in '.' stands a boundary too, whatever follows.
        guard let regex = try? Regex("(?:\(text))"), let match = try? regex.prefixMatch(in: module) else {
            return false
        }
        return module[match.range].last == "."
    }
}
