extension JSONValue {
    /// Parses RFC 8259 JSON strictly: UTF-8, no comments, no trailing commas, no key twice in one object.
    ///
    /// - Parameters:
    ///   - maximumDepth: how deep arrays and objects may nest; bounds the stack on hostile input.
    ///   - allowsPythonConstants: accepts `NaN`, `Infinity` and `-Infinity` as numbers, which Python's `json` writes
    ///     and reads, and which some models' `config.json` hold (Mamba 2's `"time_step_limit": [0.0, Infinity]`).
    public init(
        parsing bytes: some Collection<UInt8>, maximumDepth: Int = 128, allowsPythonConstants: Bool = false
    ) throws(JSONParseError) {
        var reader = JSONReader(
            bytes: Array(bytes), maximumDepth: maximumDepth, allowsPythonConstants: allowsPythonConstants)
        self = try reader.readValue()
        try reader.finish()
    }

    /// Parses a string of JSON; see ``init(parsing:maximumDepth:allowsPythonConstants:)``.
    public init(parsing text: String) throws(JSONParseError) {
        try self.init(parsing: text.utf8)
    }
}
