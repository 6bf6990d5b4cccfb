#include "pipeline/task/rewrite_model.h"

#include <utility>

#include "transform/rotation/rotation.h"
#include "transform/scaling/equalize.h"

namespace bitloom {
namespace {

std::shared_ptr<const Checkpoint> equalized(std::shared_ptr<const Checkpoint> model, const TransformSites& sites,
                                            ThreadPool& threads) {
  const auto& transform = std::get<EqualizeTransform>(sites.transform);
  const SitePredicate targeted = [&](const Site& site) { return sites.tensors.contains(site.linear->weight); };
  TensorEdits edits;
  for (int b = 0; b < static_cast<int>(model->graph().blocks.size()); ++b) {
    edits.tensors.merge(equalize_block(*model, b, transform, targeted, threads).tensors);
  }
  return Checkpoint::edited(std::move(model), edits);
}

}  // namespace

std::shared_ptr<const Checkpoint> rewrite_model(std::shared_ptr<const Checkpoint> source, const Recipe& recipe,
                                                uint64_t seed, ThreadPool& threads) {
  for (const TransformSites& sites : resolve_transforms(recipe, source->graph())) {
    if (const auto* rotation = std::get_if<HadamardTransform>(&sites.transform)) {
      source = Checkpoint::edited(source, rotate(*source, *rotation, seed));
    } else if (std::holds_alternative<EqualizeTransform>(sites.transform)) {
      source = equalized(std::move(source), sites, threads);
    }
  }
  return source;
}

}  // namespace bitloom
