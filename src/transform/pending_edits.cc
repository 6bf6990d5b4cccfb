#include "transform/pending_edits.h"

namespace bitloom {

RowSourcePtr PendingEdits::matrix(const Linear& linear) const {
  const auto at = edits_.tensors.find(linear.weight);
  return at == edits_.tensors.end() ? model_.matrix(linear) : at->second;
}

RowSourcePtr PendingEdits::rows(const std::string& name) const {
  const auto at = edits_.tensors.find(name);
  return at == edits_.tensors.end() ? model_.tensor(name).rows : at->second;
}

}  // namespace bitloom
