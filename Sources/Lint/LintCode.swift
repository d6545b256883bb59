/// What lint can find, under the names that formats/lint.md explains. The names are stable.
public enum LintCode: String, CaseIterable, Hashable, Sendable {
    // The files.
    case noConfiguration = "no-configuration"
    case malformedConfiguration = "malformed-configuration"
    case noWeights = "no-weights"
    case malformedWeights = "malformed-weights"
    case noTensors = "no-tensors"

    // The configuration.
    case unsupportedMethod = "unsupported-method"
    case missingField = "missing-field"
    case wrongValue = "wrong-value"
    case unreadablePattern = "unreadable-pattern"
    case unsupportedField = "unsupported-field"
    case unknownField = "unknown-field"
    case changedBase = "changed-base"
    case idlePattern = "idle-pattern"
    case idleTarget = "idle-target"
    case noBaseName = "no-base-name"

    // The tensors.
    case unsupportedTensor = "unsupported-tensor"
    case inconsistentTensors = "inconsistent-tensors"
    case mixedDTypes = "mixed-dtypes"
    case missingLayers = "missing-layers"
    case zeroScaling = "zero-scaling"
    case largeScaling = "large-scaling"
    case fullRank = "full-rank"
    case renamedTensors = "renamed-tensors"

    // The base.
    case unmatched
    case targetWithoutFactors = "target-without-factors"
    case baseNameMismatch = "base-name-mismatch"
    case foreignQuantization = "foreign-quantization"
    case tiedEmbeddings = "tied-embeddings"
    case grownVocabulary = "grown-vocabulary"
    case renamedModules = "renamed-modules"

    // The values.
    case notFinite = "not-finite"
    case neverTrained = "never-trained"
    case zeroFactor = "zero-factor"

    /// Whatever else opening an adapter objects to.
    case refused

    public enum Severity: String, CaseIterable, Hashable, Sendable {
        /// The adapter cannot be merged as it is, or its result would be broken.
        case error
        /// The adapter can be merged, but the result may not be what its owner expects.
        case doubtful
        /// Good to know.
        case note
    }

    public var severity: Severity {
        switch self {
        case .noConfiguration, .malformedConfiguration, .noWeights, .malformedWeights, .noTensors, .unsupportedMethod,
            .missingField, .wrongValue, .unreadablePattern, .unsupportedField, .unknownField, .changedBase,
            .unsupportedTensor, .inconsistentTensors, .unmatched, .foreignQuantization, .notFinite, .refused:
            .error
        case .idlePattern, .idleTarget, .mixedDTypes, .missingLayers, .zeroScaling,
            .largeScaling, .targetWithoutFactors, .baseNameMismatch, .tiedEmbeddings, .grownVocabulary, .neverTrained,
            .zeroFactor:
            .doubtful
        case .noBaseName, .fullRank, .renamedTensors, .renamedModules: .note
        }
    }
}

/// One thing that lint found.
public struct LintFinding: Hashable, Sendable {
    public let code: LintCode
    /// The field, the tensor or the module in question; `nil` for the adapter as a whole.
    public let subject: String?
    /// What is found there and what to do about it, without the subject.
    public let message: String

    public var severity: LintCode.Severity { code.severity }

    init(_ code: LintCode, _ subject: String? = nil, _ message: String) {
        self.code = code
        self.subject = subject
        // A sentence that begins with its subject would say it twice.
        let prefix = subject.map { $0 + ": " } ?? ""
        self.message = message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : message
    }
}
