#pragma once
// Edits under construction: each rewrite sees what those before it made.

#include <string>
#include <vector>

#include "model/model.h"

namespace bitloom {

class PendingEdits {
 public:
  /// `model` must outlive this.
  explicit PendingEdits(const Model& model) : model_(model) {}

  const Model& model() const { return model_; }
  /// W [out, in] as edited so far.
  RowSourcePtr matrix(const Linear& linear) const;
  /// A vector, or any tensor that is stored as it is used, as edited so far.
  RowSourcePtr rows(const std::string& name) const;

  void set(const std::string& name, RowSourcePtr rows) { edits_.tensors[name] = std::move(rows); }
  void untie_head() { edits_.untie_head = true; }
  TensorEdits take() { return std::move(edits_); }

 private:
  const Model& model_;
  TensorEdits edits_;
};

}  // namespace bitloom
