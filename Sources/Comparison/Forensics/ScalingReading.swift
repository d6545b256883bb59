import Adapters

/// A mistake about a module's scaling, and how many times the update it puts into the weight.
struct ScalingReading: Hashable, Sendable {
    let outcome: MergeOutcome
    let ratio: Double

    /// The mistakes that are possible for a module; none that gives the right scaling.
    static func all(for module: LoRAModule, of configuration: LoRAConfiguration) -> [ScalingReading] {
        let rank = Double(module.rank)
        let scaling = module.scaling
        func scalingOf(alpha: Double, rank: Double) -> Double {
            alpha / (configuration.useRSLoRA ? rank.squareRoot() : rank)
        }
        var scalings: [(MergeOutcome, Double)] = [
            (.doubled, 2 * scaling),
            (.negated, -scaling),
            (.unscaled, 1),
            configuration.useRSLoRA
                ? (.plainScaling, module.alpha / rank) : (.rsLoRAScaling, module.alpha / rank.squareRoot()),
            (.alphaNotDivided, module.alpha),
        ]
        for (alpha, rank) in [
            (configuration.loraAlpha, Double(configuration.r)), (configuration.loraAlpha, rank),
            (module.alpha, Double(configuration.r)),
        ] {
            scalings.append((.patternsIgnored, scalingOf(alpha: alpha, rank: rank)))
        }
        return scalings.map { ScalingReading(outcome: $0.0, ratio: $0.1 / scaling) }
            .filter { $0.ratio.isFinite && abs($0.ratio - 1) > FitThresholds.relative }
    }
}
