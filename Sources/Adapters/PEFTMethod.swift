/// A method of PEFT other than LoRA, as `peft_type` names it.
enum PEFTMethod {
    /// Whether PEFT can merge the method into weights; `nil` for what is no method of PEFT 0.21.2.
    static func isMergeable(_ peftType: String) -> Bool? {
        if unmergeable.contains(peftType) { return false }
        return mergeable.contains(peftType) ? true : nil
    }

    /// Methods that work on the prompt or the input, or choose at run time: no weights could say the same.
    static let unmergeable: Set<String> = [
        "PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT", "CPT", "CARTRIDGE",
        "POLY", "XLORA", "LILY", "SHADOW",
    ]

    /// Methods whose layers have a `merge`.
    static let mergeable: Set<String> = [
        "ADALORA", "ADAMSS", "BEFT", "BOFT", "C3A", "DEFT", "DELORA", "FOURIERFT", "FROD", "GLORA", "GRALORA", "HIRA",
        "HRA", "IA3", "LN_TUNING", "LOHA", "LOKR", "MISS", "OFT", "OSF", "PEANUT", "PSOFT", "PVERA", "RANDLORA", "ROAD",
        "SHIRA", "SUPERTUNING", "TINYLORA", "TRAINABLE_TOKENS", "UNILORA", "VBLORA", "VERA", "WAVEFT",
    ]

    /// What to do with an adapter of a method.
    static func wayOut(_ peftType: String) -> String {
        switch isMergeable(peftType) {
        case true?: "only LORA can be merged here, so \(FieldTreatment.mergeWithPEFT)"
        case false?: "it is no change of weights, so nothing can merge it into a model; serve it unmerged with PEFT"
        case nil:
            "PEFT 0.21.2 has no such method; if a later one has, \(FieldTreatment.mergeWithPEFT)"
        }
    }
}
