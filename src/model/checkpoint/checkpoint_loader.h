#pragma once
// Inside of model/: how each kind of MODEL becomes the parts of a Checkpoint.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/checkpoint/checkpoint.h"

namespace bitloom {

struct CheckpointParts {
  CheckpointKind kind = CheckpointKind::kHuggingFace;
  Json config;
  Graph graph;
  std::vector<std::string> weight_files;
  std::map<std::string, StoredTensor> tensors;  // every tensor of expected_tensors(graph)
  std::map<std::string, std::string> unused;    // name in the files -> file
  std::vector<std::string> remarks;             // see Checkpoint::remarks
  std::shared_ptr<const GgufFile> gguf;
};

/// A Hugging Face or bitloom directory.
CheckpointParts load_directory(const std::string& path);
CheckpointParts load_gguf(const std::string& path);

/// Companion files of each (see Companions::files).
std::map<std::string, std::string> directory_companions(const std::string& path);
std::map<std::string, std::string> gguf_companions(const GgufFile& file);

/// What tokenizer_config.json would hold for a GGUF file.
Json gguf_tokenizer_config(const GgufFile& file);

/// The chat template `name` of a model directory, or of the GGUF file if not null; nullopt when the model has none at
/// all.
std::optional<ChatTemplate> load_chat_template(const std::string& path, const GgufFile* gguf, const std::string& name);

/// What the default chat template writes behind an answer; "" where there is none, or one that cannot be rendered.
std::string end_of_turn(const std::string& path, const GgufFile* gguf);

/// Weights of the graph that the checkpoint stores as [in, out].
std::set<std::string> in_out_weights(const Graph& graph);

/// Error(kRefused): "FILE: tensor 'NAME' has shape [..], expected [..]".
void check_shape(const std::string& file, const std::string& name, const std::vector<int64_t>& found,
                 const std::vector<int64_t>& expected);
[[noreturn]] void refuse_missing(const std::string& file, const std::string& name,
                                 const std::vector<int64_t>& expected);

/// tie_word_embeddings: false, also of a text model inside another.
void set_untied(Json& config);

/// The end tokens of generation_config.json, which transformers lets replace config.json's.
void apply_generation_config(Graph& graph, const Json& document, const std::string& origin);

}  // namespace bitloom
