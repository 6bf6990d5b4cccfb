#pragma once
// MODEL, wherever the command line says it: a Hugging Face directory, a bitloom directory or a GGUF file. All three
// present themselves alike: a config.json document, tensors under Hugging Face names, a tokenizer.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/row_source.h"
#include "io/json.h"
#include "model/graph.h"
#include "tokenize/tokenizer.h"

namespace bitloom {

enum class CheckpointKind { kHuggingFace, kBitloom, kGguf };

struct CheckpointTensor {
  std::string name;
  std::vector<int64_t> shape;  // as a Hugging Face checkpoint would store it
  RowSourcePtr rows;           // see dense_rows() for how dimensions fold
};

class Checkpoint {
 public:
  /// Opens and checks everything but the values: every tensor the graph needs is there with the right shape, and the
  /// vocabulary fits. Maps files; reads no weights. Error(kRefused) names file, tensor or key, found and expected.
  static std::shared_ptr<const Checkpoint> open(const std::string& path);

  const std::string& path() const { return path_; }
  CheckpointKind kind() const { return kind_; }
  const Json& config() const { return config_; }  // for GGUF: the config.json that the file amounts to
  const Graph& graph() const { return graph_; }
  /// Files that carry weights, in order, for hashing.
  const std::vector<std::string>& weight_files() const { return weight_files_; }

  const std::vector<CheckpointTensor>& tensors() const { return tensors_; }
  bool has(const std::string& name) const { return index_.contains(name); }
  const CheckpointTensor& tensor(const std::string& name) const;
  /// W [out, in] of a linear layer, transposed here when the file holds [in, out].
  RowSourcePtr matrix(const Linear& linear) const;
  /// Every value of a small tensor (norms, biases).
  std::vector<float> vector(const std::string& name) const;

  /// Loaded on first use; Error(kRefused) when the model has none or it does not fit the vocabulary.
  const Tokenizer& tokenizer() const;
  bool has_tokenizer() const;
  /// Tokenizer and generation files to carry along to an output directory: file name -> contents.
  std::map<std::string, std::string> companion_files() const;

 private:
  Checkpoint() = default;
  friend struct CheckpointLoader;
  std::string path_;
  CheckpointKind kind_ = CheckpointKind::kHuggingFace;
  Json config_;
  Graph graph_;
  std::vector<std::string> weight_files_;
  std::vector<CheckpointTensor> tensors_;
  std::map<std::string, size_t> index_;
  mutable std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const GgufFile> gguf_;
};

}  // namespace bitloom
