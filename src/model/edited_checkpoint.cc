// A checkpoint with some tensors replaced: what function-preserving rewrites hand to rounding and to the decoder.

#include "base/error.h"
#include "io/tensor_view.h"
#include "model/checkpoint.h"
#include "model/row_views.h"

namespace bitloom {
namespace {

const std::string kHeadName = "lm_head.weight";

void set_untied(Json& config) {
  config["tie_word_embeddings"] = false;
  if (config.contains("text_config")) config["text_config"]["tie_word_embeddings"] = false;
}

/// The shape of the rows that an edit must bring: W [out, in] of a matrix, [1, n] of a vector.
std::vector<int64_t> edit_shape(const CheckpointTensor& tensor, bool stored_in_out) {
  const MatrixShape stored = matrix_shape(tensor.shape);
  if (stored_in_out) return {stored.cols, stored.rows};
  return {stored.rows, stored.cols};
}

}  // namespace

std::shared_ptr<const Checkpoint> Checkpoint::edited(std::shared_ptr<const Checkpoint> base, TensorEdits edits) {
  std::shared_ptr<Checkpoint> result(new Checkpoint);
  result->path_ = base->path_;
  result->kind_ = base->kind_;
  result->config_ = base->config_;
  result->graph_ = base->graph_;
  result->weight_files_ = base->weight_files_;
  result->tensors_ = base->tensors_;
  result->unused_ = base->unused_;
  result->index_ = base->index_;
  result->out_in_ = base->out_in_;
  result->pieces_ = base->pieces_;
  result->gguf_ = base->gguf_;
  result->edited_ = base->edited_;
  result->base_ = std::move(base);
  if (edits.untie_head && result->graph_.tied_head) {
    if (!edits.tensors.contains(kHeadName)) {
      fail(ErrorKind::kFailed, "{}: the head is untied without a tensor '{}'", result->path_, kHeadName);
    }
    result->untie_head();
  }
  for (auto& [name, rows] : edits.tensors) result->replace(name, std::move(rows));
  return result;
}

bool Checkpoint::is_edited(const std::string& name) const { return edited_.contains(name); }

/// The head's tensor starts as the embedding's twin.
void Checkpoint::untie_head() {
  const CheckpointTensor& embedding = tensor(graph_.embedding);
  CheckpointTensor head{kHeadName, embedding.shape, embedding.rows};
  pieces_[kHeadName] = pieces_[graph_.embedding];
  graph_.head.weight = kHeadName;
  graph_.tied_head = false;
  set_untied(config_);
  index_[kHeadName] = tensors_.size();
  tensors_.push_back(std::move(head));
}

void Checkpoint::replace(const std::string& name, RowSourcePtr rows) {
  const auto at = index_.find(name);
  if (at == index_.end()) fail(ErrorKind::kFailed, "{}: edited tensor '{}' is not one of the graph's", path_, name);
  CheckpointTensor& tensor = tensors_[at->second];
  const bool stored_in_out = out_in_.contains(name);
  const std::vector<int64_t> expected = edit_shape(tensor, stored_in_out), found = {rows->rows(), rows->cols()};
  if (found != expected) {
    fail(ErrorKind::kFailed, "{}: edited tensor '{}' has shape {}, expected {}", path_, name, shape_text(found),
         shape_text(expected));
  }
  edited_.insert(name);
  if (stored_in_out) {
    tensor.rows = transposed_rows(rows);
    out_in_[name] = std::move(rows);
  } else {
    tensor.rows = std::move(rows);
  }
}

}  // namespace bitloom
