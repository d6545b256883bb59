import Tensors

/// The `include` and `exclude` patterns of a step.
struct NameFilter: Sendable {
    let include: [Glob]
    let exclude: [Glob]

    static let keys: [SpecKey] = [
        SpecKey(
            "include", .strings,
            "Patterns of tensor or module names (* any characters) to convert instead of the default choice."),
        SpecKey("exclude", .strings, "Patterns of tensor or module names to leave as they are."),
    ]

    init(_ arguments: SpecObject) {
        include = (arguments.strings("include") ?? []).map(Glob.init)
        exclude = (arguments.strings("exclude") ?? []).map(Glob.init)
    }
}
