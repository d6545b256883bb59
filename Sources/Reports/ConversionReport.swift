import LosslessJSON

/// What a conversion read, did and wrote.
///
/// Everything but ``run`` is a function of the inputs and the spec: two conversions of the same files by the same
/// version give equal reports on any machine, for any number of threads. Compare ``withoutRun``.
public struct ConversionReport: Hashable, Sendable {
    /// The version of qconv that made the report.
    public let toolVersion: String
    /// The spec with every default filled in.
    public let spec: JSONValue
    /// The files that were read.
    public let inputs: [InputFingerprint]
    /// The adapters that were attached, in the order of the spec.
    public let adapters: [AdapterReport]
    /// What was written, in the order of the spec.
    public let outputs: [OutputReport]
    /// What the person who started the conversion should know, one plain sentence each.
    public let warnings: [String]
    /// What came out of the gates of the spec, in its order.
    public var gates: [GateResult] = []
    /// Whether a gate failed and the outputs were not put in place.
    public var isDiscarded = false
    /// The facts of this one run.
    public var run: RunFacts?

    public init(
        toolVersion: String, spec: JSONValue, inputs: [InputFingerprint], adapters: [AdapterReport] = [],
        outputs: [OutputReport], warnings: [String] = [], run: RunFacts? = nil
    ) {
        self.toolVersion = toolVersion
        self.spec = spec
        self.inputs = inputs
        self.adapters = adapters
        self.outputs = outputs
        self.warnings = warnings
        self.run = run
    }

    /// The report without what differs from one run to the next.
    public var withoutRun: ConversionReport {
        var copy = self
        copy.run = nil
        return copy
    }
}

/// Enough about an input file to tell it from another.
public struct InputFingerprint: Hashable, Sendable {
    public let path: String
    /// Size of the file in bytes.
    public let size: Int
    /// SHA-256 of the file's header, 64 lowercase hexadecimal digits. With the size it is cheap and tells files of
    /// different tensors apart, but not two trainings of the same model.
    public let headerSHA256: String
    /// SHA-256 of the whole file; `nil` unless it was asked for.
    public let sha256: String?

    public init(path: String, size: Int, headerSHA256: String, sha256: String? = nil) {
        self.path = path
        self.size = size
        self.headerSHA256 = headerSHA256
        self.sha256 = sha256
    }
}

/// An adapter that took part.
public struct AdapterReport: Hashable, Sendable {
    public let path: String
    /// The weight its updates were multiplied with, besides the adapter's own scaling.
    public let weight: Double
    /// How many modules of the model it brought an update for.
    public let modulesMatched: Int

    public init(path: String, weight: Double, modulesMatched: Int) {
        self.path = path
        self.weight = weight
        self.modulesMatched = modulesMatched
    }
}

/// The facts of one run, which say nothing about its result.
public struct RunFacts: Hashable, Sendable {
    /// Wall-clock time.
    public let seconds: Double
    /// Peak resident memory in bytes; `nil` where the system does not tell.
    public let peakMemoryBytes: Int?
    public let threads: Int
    /// What the workers spent their time on; `nil` when there was nothing to do.
    public let shares: WorkShares?

    public init(seconds: Double, peakMemoryBytes: Int?, threads: Int, shares: WorkShares? = nil) {
        self.seconds = seconds
        self.peakMemoryBytes = peakMemoryBytes
        self.threads = threads
        self.shares = shares
    }
}

/// How the time of all workers divides, in shares from 0 to 1 that add up to 1.
public struct WorkShares: Hashable, Sendable {
    /// Reading input.
    public let read: Double
    /// Decoding, converting, encoding, adding up figures.
    public let compute: Double
    /// Writing output.
    public let write: Double
    /// Waiting for other workers.
    public let wait: Double

    public init(read: Double, compute: Double, write: Double, wait: Double) {
        self.read = read
        self.compute = compute
        self.write = write
        self.wait = wait
    }
}
