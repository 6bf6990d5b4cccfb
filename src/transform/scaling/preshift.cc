#include "transform/scaling/preshift.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace bitloom {

std::vector<float> preshift_scales(std::span<const float> x_absmax, float most, int64_t limit) {
  std::vector<float> s(x_absmax.size(), 1.0f);
  for (size_t j = 0; j < s.size(); ++j) {
    if (!(x_absmax[j] > 0)) continue;
    const double shift = std::round(std::log2(double{most} / double{x_absmax[j]}));
    s[j] = std::exp2(-static_cast<float>(std::clamp(shift, 0.0, static_cast<double>(limit))));
  }
  return s;
}

TensorEdits preshift_block(const Model& model, int block, const ChannelMaxima& x_absmax,
                           const PreshiftTransform& transform, const SitePredicate& targeted) {
  if (transform.limit < 0 || transform.limit > 31) {
    misuse("preshift: limit is {}, expected an integer from 0 to 31", transform.limit);
  }
  PendingEdits edits(model);
  for (const ChannelGroup& group : channel_groups(model.graph(), block)) {
    if (targeted_readers(group, targeted).empty() || !group.absorbs()) continue;
    const std::vector<float> of_scales = group.maximum(maxima_of(group, x_absmax, "shifting"));
    const float most = *std::max_element(of_scales.begin(), of_scales.end());
    scale_input(edits, group, preshift_scales(of_scales, most, transform.limit));
  }
  return edits.take();
}

}  // namespace bitloom
