#include "pipeline/walk/block/block_scaling.h"

#include "round/nearest/nearest.h"
#include "transform/scaling/preshift.h"
#include "transform/scaling/scale_search.h"
#include "transform/scaling/smooth.h"

namespace bitloom {
namespace {

ChannelMaxima maxima_of(const std::map<int, InputStatistics>& statistics) {
  ChannelMaxima maxima;
  for (const auto& [input, of_input] : statistics) maxima[input] = of_input.range.absmax();
  return maxima;
}

TensorEdits smoothed(const Checkpoint& model, int block, const SmoothTransform& transform,
                     const SitePredicate& targeted, const std::map<int, InputStatistics>& statistics,
                     ThreadPool& threads) {
  return smooth_block(model, block, maxima_of(statistics), transform, targeted, threads);
}

TensorEdits searched(const Checkpoint& model, int block, const ScaleSearchTransform& transform,
                     const SitePredicate& targeted, const std::map<std::string, RecipeStep>& steps,
                     const std::map<int, InputStatistics>& statistics, ThreadPool& threads) {
  ChannelMoments moments;
  for (const auto& [input, of_input] : statistics) moments[input] = &*of_input.moment;
  return search_block_scales(model, block, moments, transform, nearest_by(steps, threads), targeted, threads).edits;
}

}  // namespace

RoundedWeights nearest_by(const std::map<std::string, RecipeStep>& steps, ThreadPool& threads) {
  return [&steps, &threads](const RowSource& w, const Linear& linear) {
    const auto step = steps.find(linear.weight);
    if (step == steps.end()) return w.decode_all();
    return quantize_nearest(linear.weight, w, grid_target(*step->second.quantize, linear.weight), threads)
        ->decode_all();
  };
}

TensorEdits scale_block(std::shared_ptr<const Checkpoint> model, int block,
                        const std::vector<TransformSites>& transforms, const std::map<std::string, RecipeStep>& steps,
                        const std::map<int, InputStatistics>& statistics, ThreadPool& threads) {
  TensorEdits all;
  for (const TransformSites& sites : transforms) {
    const SitePredicate targeted = [&](const Site& site) { return sites.tensors.contains(site.linear->weight); };
    TensorEdits made;
    if (const auto* smooth = std::get_if<SmoothTransform>(&sites.transform)) {
      made = smoothed(*model, block, *smooth, targeted, statistics, threads);
    } else if (const auto* preshift = std::get_if<PreshiftTransform>(&sites.transform)) {
      made = preshift_block(*model, block, maxima_of(statistics), *preshift, targeted);
    } else if (const auto* search = std::get_if<ScaleSearchTransform>(&sites.transform)) {
      made = searched(*model, block, *search, targeted, steps, statistics, threads);
    }
    if (made.tensors.empty()) continue;
    for (const auto& [name, rows] : made.tensors) all.tensors[name] = rows;
    model = Checkpoint::edited(std::move(model), made);
  }
  return all;
}

}  // namespace bitloom
