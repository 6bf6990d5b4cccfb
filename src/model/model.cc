#include "model/model.h"

#include "base/error.h"

namespace bitloom {
namespace {

const std::string kHeadName = "lm_head.weight";

}  // namespace

Model Model::edited(const TensorEdits& edits) const {
  if (!edits.untie_head || !graph_->tied_head) return {graph_, weights_.edited(edits.tensors)};
  if (!edits.tensors.contains(kHeadName)) {
    fail(ErrorKind::kFailed, "{}: the head is untied without a tensor '{}'", path(), kHeadName);
  }
  auto untied = std::make_shared<Graph>(*graph_);
  untied->head.weight = kHeadName;
  untied->tied_head = false;
  return {std::move(untied), weights_.with_twin(kHeadName, graph_->embedding).edited(edits.tensors)};
}

}  // namespace bitloom
