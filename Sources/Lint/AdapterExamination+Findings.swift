import Adapters
import Checkpoints

extension AdapterExamination {
    /// What opening the adapter objected to.
    var findings: [LintFinding] {
        errors.flatMap(AdapterExamination.findings)
            + (weightsError.map { [LintFinding(.malformedWeights, nil, "\($0)")] } ?? [])
    }

    private static func findings(_ error: AdapterError) -> [LintFinding] {
        switch error {
        case .noConfiguration: [LintFinding(.noConfiguration, nil, "\(error)")]
        case .noWeights: [LintFinding(.noWeights, nil, "\(error)")]
        case .malformedJSON, .configurationTooLarge: [LintFinding(.malformedConfiguration, nil, "\(error)")]
        case .empty: [LintFinding(.noTensors, nil, "\(error)")]
        case .unsupportedMethod: [LintFinding(.unsupportedMethod, "peft_type", "\(error)")]
        case .missingKey(_, let key, let expected): [LintFinding(.missingField, key, "missing; expected \(expected)")]
        case .wrongValue(_, let key, let expected, let found):
            [LintFinding(.wrongValue, key, "should be \(expected), found \(found)")]
        case .invalidPattern(_, let key, let pattern):
            [
                LintFinding(
                    .unreadablePattern, key,
                    "\"\(pattern)\" is no regular expression that can be read and matched in bounded time; write the modules' names instead"
                )
            ]
        case .unsupportedFields(_, let fields):
            // An initialization that changed the base is a matter of the base, not of a feature.
            fields.filter { $0.key != ConfigurationChecks.initialization }.map { field in
                let isKnown = LoRAConfiguration.fields.contains { $0.key == field.key }
                return LintFinding(
                    isKnown ? .unsupportedField : .unknownField, field.key,
                    "\(field.found) (\(field.feature)): \(field.wayOut)")
            }
        case .unsupportedTensors(_, let tensors):
            tensors.map { LintFinding(.unsupportedTensor, $0.name, "\($0.feature)") }
        case .inconsistentTensors(_, let problems):
            problems.map { LintFinding(.inconsistentTensors, $0.subject, "\($0)") }
        default: [LintFinding(.refused, nil, "\(error)")]
        }
    }
}
