import Adapters
import Checkpoints
import SystemPackage
import Tensors

/// What is doubtful about an adapter: everything that stands against merging it, and what would go unnoticed.
///
/// From headers alone, except for what ``ValueChecks`` reads.
public struct AdapterLint: Sendable {
    /// The adapter's directory.
    public let path: FilePath
    /// The base model's path; `nil` when none was given.
    public let basePath: FilePath?
    /// The modules with low-rank updates, in the order of the file.
    public let modules: [LintedModule]
    /// What the adapter replaces in the base, as a whole or in rows.
    public let replacements: [AdapterChange]
    /// How many tensors the file holds, and bytes of data.
    public let tensorCount: Int
    public let dataBytes: Int
    /// All findings: errors first, then doubts, then notes; each in the order of the files.
    public let findings: [LintFinding]
    /// Whether the values were read.
    public let readsValues: Bool
    /// The version of the tool.
    public var toolVersion = ""

    /// Looks at an adapter.
    ///
    /// - Parameters:
    ///   - directory: The adapter's directory.
    ///   - base: The model that it is meant for.
    ///   - readsValues: Whether to look for NaN, infinities and zeros, which takes reading all values.
    ///   - threads: How many threads read values.
    /// - Throws: When the directory or the base cannot be opened at all.
    public init(directory: FilePath, base: FilePath? = nil, readsValues: Bool = false, threads: Int = 1) throws {
        let examination = try AdapterExamination(directory: directory)
        let model = try base.map { try ModelDirectory(path: $0) }
        var findings = examination.findings
        var fits: [String: BaseChecks.Fit] = [:]
        if let document = examination.document {
            findings += ConfigurationChecks(document: document, adapter: examination.adapter).findings
        }
        if let adapter = examination.adapter {
            if let model {
                let checks = BaseChecks(adapter: adapter, examination: examination, base: model)
                findings += checks.findings
                fits = checks.fits
            }
            findings += TensorChecks(adapter: adapter, examination: examination, base: model).findings
        }
        if readsValues, let weights = examination.weights {
            findings += try ValueChecks(weights: weights).findings(threads: threads)
        }
        path = directory
        basePath = base
        self.readsValues = readsValues
        tensorCount = examination.tensors.count
        dataBytes = examination.tensors.reduce(0) { $0 + $1.parts.reduce(0) { $0 + $1.byteCount } }
        modules = (examination.adapter?.modules ?? []).map { module in
            LintedModule(
                module, tensors: examination.adapter?.weights.tensors ?? [],
                fit: fits[module.name], fieldsSetAside: examination.fieldsSetAside)
        }
        replacements = (examination.adapter?.changes ?? []).filter { $0.replacementText != nil }
        self.findings = LintCode.Severity.allCases.flatMap { severity in
            findings.filter { $0.severity == severity }
        }
    }

    /// Whether there is nothing that its owner should look at.
    public var isClean: Bool { findings.allSatisfy { $0.severity == .note } }

    /// The findings of one severity.
    public func count(_ severity: LintCode.Severity) -> Int { findings.count { $0.severity == severity } }
}

extension AdapterExamination {
    var tensors: [LogicalTensor] { weights?.tensors ?? [] }

    /// The modules that the file has factors for, whether they are right or not, in its order.
    var modulesInFile: [String] {
        var seen: Set<String> = []
        return tensorNames.compactMap { name in
            let components = name.split(separator: ".", omittingEmptySubsequences: false)
            guard let place = components.firstIndex(where: { $0.hasPrefix("lora_") }) else { return nil }
            let module = components[..<place].joined(separator: ".")
            let prefix = "base_model.model."
            let name = module.hasPrefix(prefix) ? String(module.dropFirst(prefix.count)) : module
            return seen.insert(name).inserted ? name : nil
        }
    }
}
