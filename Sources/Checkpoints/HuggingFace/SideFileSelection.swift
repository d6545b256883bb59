import SystemPackage
import Tensors

/// Which files of a model directory belong to the model beside its weights: what transformers needs to load and use it.
enum SideFileSelection {
    /// Paths of the side files inside a directory, sorted.
    static func names(in directory: FilePath) throws(FileError) -> [FilePath] {
        var selected: [FilePath] = []
        for name in try FileSystem.names(in: directory) {
            let path = directory.appending(name)
            switch FileSystem.kind(of: path) {
            case .file? where isSideFile(name): selected.append(FilePath(name))
            case .directory? where name == templatesDirectory:
                for template in try FileSystem.names(in: path) where template.hasSuffix(".jinja") {
                    selected.append(FilePath(name).appending(template))
                }
            default: continue
            }
        }
        return selected
    }

    private static let templatesDirectory = "additional_chat_templates"

    private static let exact: Set<String> = [
        "config.json", "generation_config.json", "added_tokens.json", "special_tokens_map.json",
        "chat_template.jinja", "chat_template.json", "preprocessor_config.json", "processor_config.json",
        "video_preprocessor_config.json", "image_processor_config.json", "feature_extractor_config.json",
        "merges.txt", "vocab.txt", "vocab.json", "normalizer.json", "spiece.model", "tekken.json", "params.json",
        "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json",
        "LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE", "NOTICE.md", "NOTICE.txt", "USE_POLICY.md",
    ]

    private static func isSideFile(_ name: String) -> Bool {
        guard !name.hasPrefix(".") else { return false }
        if exact.contains(name) { return true }
        // tokenizer.json, tokenizer_config.json, tokenizer.model, tokenizer.model.v3, vocab.bpe, qwen.tiktoken, the
        // sentencepiece model under whatever name, and a model's own code.
        return name.hasPrefix("tokenizer") || name.hasPrefix("vocab") || name.hasPrefix("tokenization_")
            || name.hasSuffix(".model") || name.hasSuffix(".tiktoken") || name.hasSuffix(".py")
    }
}
