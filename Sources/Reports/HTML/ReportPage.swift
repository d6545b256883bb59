import LosslessJSON

/// A report as one self-contained HTML page, for people who would rather look than read: no network, no other files.
///
/// What a page shows of a conversion and of a comparison is the same; both describe themselves in these terms.
public struct ReportPage: Sendable {
    /// How a figure is written.
    package enum Unit: String, Sendable {
        /// A fraction, written as a percentage.
        case percent
        /// In the unit of the weights, or without one.
        case number
        case decibels
    }

    /// Which values of a figure need attention.
    package enum Concern: String, Sendable {
        case high
        case low
        /// The share of an update that was kept, with the thresholds of ``UpdateSurvival``.
        case survival
    }

    /// A figure that tensors have.
    package struct Metric: Sendable {
        package let key: String
        let label: String
        let unit: Unit
        let concern: Concern
        /// What the figure is, in half a sentence.
        let note: String
        /// Whether tables show it before the reader asks for all figures.
        let isMain: Bool

        package init(
            _ key: String, _ label: String, _ unit: Unit, _ concern: Concern, _ note: String, isMain: Bool = true
        ) {
            self.key = key
            self.label = label
            self.unit = unit
            self.concern = concern
            self.note = note
            self.isMain = isMain
        }
    }

    /// One tensor.
    package struct Row: Sendable {
        let name: String
        /// What happened to it, in a word.
        let status: String
        /// `bf16 → nf4`
        let storage: String
        let shape: String
        /// One for each metric.
        let values: [Double?]
        let distribution: MagnitudeDistribution?
        /// What its share of the update weighs in that of a layer: Σ update².
        let updateWeight: Double?

        package init(
            name: String, status: String, storage: String, shape: String, values: [Double?],
            distribution: MagnitudeDistribution?, updateWeight: Double?
        ) {
            self.name = name
            self.status = status
            self.storage = storage
            self.shape = shape
            self.values = values
            self.distribution = distribution
            self.updateWeight = updateWeight
        }

        /// `64×192`, or `scalar`.
        package static func shape(_ shape: [Int]) -> String {
            shape.isEmpty ? "scalar" : shape.map(String.init).joined(separator: "×")
        }
    }

    /// A figure of all tensors together, in large type.
    package struct Fact: Sendable {
        let label: String
        let value: String
        let note: String

        package init(_ label: String, _ value: String, note: String = "") {
            self.label = label
            self.value = value
            self.note = note
        }
    }

    /// How good the news is.
    package enum Tone: String, Sendable {
        case good
        case neutral
        case warning
        case bad
    }

    /// An output of a conversion, or a comparison: what the page shows at a time. Where a page has several, a table of them
    /// all comes first.
    package struct Section: Sendable {
        let name: String
        let tone: Tone
        /// The conclusion in a word or two.
        let label: String
        /// The conclusion in sentences, the one that matters most first.
        let verdict: [String]
        let facts: [Fact]
        let metrics: [Metric]
        /// The figures of all tensors together, one for each metric.
        let overall: [Double?]
        let rows: [Row]

        package init(
            name: String, tone: Tone, label: String, verdict: [String], facts: [Fact?], metrics: [Metric],
            overall: [Double?], rows: [Row]
        ) {
            self.name = name
            self.tone = tone
            self.label = label
            self.verdict = verdict
            self.facts = facts.compactMap(\.self)
            self.metrics = metrics
            self.overall = overall
            self.rows = rows
        }
    }

    /// A text under a title: a path, a spec, a list of changes.
    package struct Document: Sendable {
        let title: String
        let text: String

        package init(_ title: String, _ text: String) {
            self.title = title
            self.text = text
        }
    }

    /// `qconv diff`, `qconv pipeline`.
    let command: String
    let title: String
    /// What was read and written, beneath the title: `A`, and what A is.
    let origins: [Document]
    /// What a section is: `output`.
    let sectionNoun: String
    let sections: [Section]
    let gates: [GateResult]
    let notices: [String]
    let documents: [Document]
    let inputs: [InputFingerprint]
    /// The version and the facts of the run.
    let footer: String

    package init(
        command: String, title: String, origins: [Document] = [], sectionNoun: String = "output", sections: [Section],
        gates: [GateResult] = [], notices: [String] = [], documents: [Document] = [], inputs: [InputFingerprint] = [],
        footer: String
    ) {
        self.command = command
        self.title = title
        self.origins = origins
        self.sectionNoun = sectionNoun
        self.sections = sections
        self.gates = gates
        self.notices = notices
        self.documents = documents
        self.inputs = inputs
        self.footer = footer
    }
}
