/// `"a", "b", "c" and 4 more`.
func nameList(_ names: [String]) -> String {
    names.prefix(3).map { "\"\($0)\"" }.joined(separator: ", ")
        + (names.count > 3 ? " and \(names.count - 3) more" : "")
}
