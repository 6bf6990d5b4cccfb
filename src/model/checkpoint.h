#pragma once
// MODEL, wherever the command line says it: a Hugging Face directory, a bitloom directory or a GGUF file. All three
// present themselves alike: a config.json document, tensors under Hugging Face names, a tokenizer.

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/row_source.h"
#include "chat/chat_template.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "model/graph.h"
#include "tokenize/tokenizer.h"

namespace bitloom {

enum class CheckpointKind { kHuggingFace, kBitloom, kGguf };

struct CheckpointTensor {
  std::string name;
  std::vector<int64_t> shape;  // as a Hugging Face checkpoint would store it; a quantized matrix is always [out, in]
  RowSourcePtr rows;           // see dense_rows() for how dimensions fold
};

/// A tensor's bytes, or some of them, in a mapped file.
struct MappedPiece {
  std::shared_ptr<const MappedFile> file;
  std::span<const std::byte> bytes;
};

/// Tensors of a checkpoint replaced by others: what a function-preserving rewrite makes of it.
struct TensorEdits {
  std::map<std::string, RowSourcePtr> tensors;  // by name: matrices of linear layers as W [out, in], vectors as [1, n]
  bool untie_head = false;  // the head gets a tensor of its own, "lm_head.weight", which `tensors` must hold
};

/// What the loaders of the three kinds hand over; model/checkpoint_loader.h.
struct CheckpointParts;

class Checkpoint {
 public:
  /// Opens and checks everything but the values: every tensor the graph needs is there with a real dtype and the right
  /// shape. Maps files; decodes no weights. Error(kRefused) names file, tensor or key, found and expected. Whether the
  /// tokenizer fits the vocabulary is checked where it is first used.
  static std::shared_ptr<const Checkpoint> open(const std::string& path);

  /// `base` with some tensors replaced; everything else, files included, is the base's. Error(kFailed) for a name that
  /// the graph lacks or a wrong shape. Replaced tensors may wrap the base's own rows, so edits can be stacked. A matrix
  /// that the file holds as [in, out] is shown so by tensor(), through a transposing view. Untying a head that is not
  /// tied changes nothing.
  static std::shared_ptr<const Checkpoint> edited(std::shared_ptr<const Checkpoint> base, const TensorEdits& edits);
  /// Whether edited() replaced this tensor, here or in a base.
  bool is_edited(const std::string& name) const;

  const std::string& path() const { return path_; }
  CheckpointKind kind() const { return kind_; }
  const Json& config() const { return config_; }  // for GGUF: the config.json that the file amounts to
  const Graph& graph() const { return graph_; }
  /// Files that carry weights, in order, for hashing.
  const std::vector<std::string>& weight_files() const { return weight_files_; }

  /// The graph's tensors, in the order of expected_tensors(graph()).
  const std::vector<CheckpointTensor>& tensors() const { return tensors_; }
  /// Tensors of the files that the graph does not use (buffers, a vision tower), by their names there.
  const std::vector<std::string>& unused_tensors() const { return unused_; }
  bool has(const std::string& name) const { return index_.contains(name); }
  const CheckpointTensor& tensor(const std::string& name) const;
  /// W [out, in] of a linear layer, transposed here when the file holds [in, out].
  RowSourcePtr matrix(const Linear& linear) const;
  /// The tensor's pages leave resident memory until it is decoded again: for walks over models larger than memory. An
  /// edited tensor also lets go of the copies it made (RowSource::release), and of the base's pages.
  void release(const std::string& name) const;
  /// Every value of a small tensor (norms, biases).
  std::vector<float> vector(const std::string& name) const;

  /// Loaded on first use; Error(kRefused) when the model has none or it does not fit the vocabulary.
  const Tokenizer& tokenizer() const;
  bool has_tokenizer() const;
  /// The template that instruct models bring, by name where there are several. Error(kRefused) when the model has none,
  /// or it is no template that bitloom can render.
  ChatTemplate chat_template(const std::string& name = "default") const;
  /// Whether it has a default one. Error(kRefused) for one that bitloom cannot render.
  bool has_chat_template() const;
  /// Tokenizer and generation files to carry along to an output directory: file name -> contents.
  std::map<std::string, std::string> companion_files() const;

 private:
  Checkpoint() = default;
  void untie_head();
  void replace(const std::string& name, RowSourcePtr rows);

  std::string path_;
  CheckpointKind kind_ = CheckpointKind::kHuggingFace;
  Json config_;
  Graph graph_;
  std::vector<std::string> weight_files_;
  std::vector<CheckpointTensor> tensors_;
  std::vector<std::string> unused_;
  std::map<std::string, size_t> index_;
  std::map<std::string, RowSourcePtr> out_in_;  // W [out, in] of the weights that `tensors_` holds as [in, out]
  std::map<std::string, std::vector<MappedPiece>> pieces_;
  std::shared_ptr<const GgufFile> gguf_;  // GGUF only
  std::set<std::string> edited_;
  std::shared_ptr<const Checkpoint> base_;  // edited() only: its tokenizer is ours
  mutable std::mutex tokenizer_lock_;
  mutable std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace bitloom
