#include "transform/scaling/equalize.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "transform/scaling/matrix_ranges.h"

namespace bitloom {

std::vector<float> equalizing_scales(std::span<const float> r1, std::span<const float> r2) {
  assert(r1.size() == r2.size());
  std::vector<float> s(r1.size(), 1.0f);
  for (size_t c = 0; c < s.size(); ++c) {
    if (!(r1[c] > 0.0f) || !(r2[c] > 0.0f)) continue;
    const double scale = std::sqrt(static_cast<double>(r1[c]) / static_cast<double>(r2[c]));
    s[c] = static_cast<float>(std::clamp(scale, 1e-8, 1e8));
  }
  return s;
}

TensorEdits equalize_block(const Model& model, int block, const EqualizeTransform&, const SitePredicate& targeted,
                           ThreadPool& threads) {
  PendingEdits edits(model);
  for (const ChannelGroup& group : channel_groups(model.graph(), block)) {
    const auto* absorber = std::get_if<RowAbsorber>(&group.absorber);
    if (absorber == nullptr || targeted_readers(group, targeted).empty()) continue;
    const std::vector<float> rows = row_absmax(*edits.matrix(absorber->linear), threads);
    std::vector<float> r1;
    for (const int64_t row : absorber->rows) r1.push_back(rows[static_cast<size_t>(row)]);
    const Linear& reader = *group.readers.front().linear;
    const std::vector<float> r2 = group.maximum(column_absmax(*edits.matrix(reader), threads));
    scale_input(edits, group, equalizing_scales(r1, r2));
  }
  return edits.take();
}

}  // namespace bitloom
