#include "transform/scaling/smooth.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/error.h"
#include "transform/scaling/matrix_ranges.h"

namespace bitloom {
namespace {

constexpr double kLeast = 1e-5;

}  // namespace

const std::vector<float>& maxima_of(const ChannelGroup& group, const ChannelMaxima& all, std::string_view doing) {
  const auto at = all.find(group.input);
  if (at != all.end() && static_cast<int64_t>(at->second.size()) == group.channels()) return at->second;
  fail(ErrorKind::kFailed, "{} block {}: the maxima of input {} have {} channels, expected {}", doing,
       group.readers.front().block, group.readers.front().reads->name, at == all.end() ? 0 : at->second.size(),
       group.channels());
}

std::vector<float> smooth_scales(std::span<const float> x_absmax, std::span<const float> w_absmax, double alpha) {
  assert(x_absmax.size() == w_absmax.size());
  std::vector<float> s(x_absmax.size(), 1.0f);
  for (size_t j = 0; j < s.size(); ++j) {
    if (!(x_absmax[j] > 0.0f)) continue;
    const double w = std::max(static_cast<double>(w_absmax[j]), kLeast);
    const double scale = std::pow(static_cast<double>(x_absmax[j]), alpha) / std::pow(w, 1.0 - alpha);
    s[j] = static_cast<float>(std::max(scale, kLeast));
  }
  return s;
}

TensorEdits smooth_block(const Model& model, int block, const ChannelMaxima& x_absmax, const SmoothTransform& transform,
                         const SitePredicate& targeted, ThreadPool& threads) {
  if (!(transform.alpha >= 0.0 && transform.alpha <= 1.0)) {
    misuse("smoothquant: alpha is {}, expected a number from 0 to 1", transform.alpha);
  }
  PendingEdits edits(model);
  for (const ChannelGroup& group : channel_groups(model.graph(), block)) {
    const std::vector<Site> readers = targeted_readers(group, targeted);
    if (readers.empty() || !group.absorbs()) continue;
    std::vector<float> w_absmax(static_cast<size_t>(group.scales));
    for (const Site& site : readers) {
      const std::vector<float> of_reader = group.maximum(column_absmax(*edits.matrix(*site.linear), threads));
      for (size_t j = 0; j < w_absmax.size(); ++j) w_absmax[j] = std::max(w_absmax[j], of_reader[j]);
    }
    scale_input(edits, group,
                smooth_scales(group.maximum(maxima_of(group, x_absmax, "smoothing")), w_absmax, transform.alpha));
  }
  return edits.take();
}

}  // namespace bitloom
