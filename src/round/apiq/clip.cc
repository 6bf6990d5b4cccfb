#include "round/apiq/clip.h"

#include <algorithm>
#include <cmath>

#include "base/memory/dtype.h"
#include "round/scale/grid_builder.h"

namespace bitloom {
namespace {

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

bool LearnedClip::serves(const GridStorage& storage) {
  const auto kind = storage.granularity.kind;
  return storage.asymmetric && storage.scale == ScaleType::kF16 &&
         (kind == Granularity::Kind::kRow || kind == Granularity::Kind::kGroup);
}

LearnedClip::LearnedClip(const GridStorage& storage, const std::vector<float>& w, int64_t rows, int64_t cols)
    : storage_(storage),
      w_(w),
      rows_(rows),
      cols_(cols),
      width_(scale_shape(storage, rows, cols).group_cols),
      groups_(scale_shape(storage, rows, cols).cols),
      most_(static_cast<float>((1 << bits_of(storage.format)) - 1)) {
  logits.assign(static_cast<size_t>(2 * rows * groups_), kFirstClip);
}

LearnedClip::Group LearnedClip::group_of(int64_t row, int64_t g) const {
  Group group;
  for (int64_t c = first_of(g); c < end_of(g); ++c) {
    const float w = w_[static_cast<size_t>(row * cols_ + c)];
    group.high = std::max(group.high, w), group.low = std::min(group.low, w);
  }
  const auto place = static_cast<size_t>(row * groups_ + g);
  const float high = sigmoid(logits[place]) * group.high;
  const float low = sigmoid(logits[static_cast<size_t>(rows_ * groups_) + place]) * group.low;
  group.scale = f16_to_f32(f32_to_f16((high - low) / most_));
  if (group.scale > 0) group.zero = std::clamp(std::nearbyint(-low / group.scale), 0.0f, most_);
  return group;
}

void LearnedClip::quantize(float* out, ThreadPool& threads) const {
  threads.parallel_for(rows_, [&](int64_t r) {
    for (int64_t g = 0; g < groups_; ++g) {
      const Group group = group_of(r, g);
      for (int64_t i = r * cols_ + first_of(g); i < r * cols_ + end_of(g); ++i) {
        const float steps = group.scale > 0 ? std::nearbyint(w_[static_cast<size_t>(i)] / group.scale) : 0;
        out[i] = group.scale * (std::clamp(steps + group.zero, 0.0f, most_) - group.zero);
      }
    }
  });
}

std::vector<float> LearnedClip::gradient(const float* g, ThreadPool& threads) const {
  std::vector<float> gradients(logits.size());
  const auto half = static_cast<size_t>(rows_ * groups_);
  threads.parallel_for(rows_, [&](int64_t r) {
    for (int64_t at = 0; at < groups_; ++at) {
      const Group group = group_of(r, at);
      if (group.scale == 0) continue;
      double of_scale = 0;
      for (int64_t i = r * cols_ + first_of(at); i < r * cols_ + end_of(at); ++i) {
        const float y = w_[static_cast<size_t>(i)] / group.scale, code = std::nearbyint(y) + group.zero;
        const float slope = code < 0 ? -group.zero : code > most_ ? most_ - group.zero : std::nearbyint(y) - y;
        of_scale += static_cast<double>(g[i]) * static_cast<double>(slope);
      }
      const auto place = static_cast<size_t>(r * groups_ + at);
      const float high = sigmoid(logits[place]), low = sigmoid(logits[half + place]);
      const auto scale = static_cast<float>(of_scale);
      gradients[place] = scale * high * (1 - high) * group.high / most_;
      gradients[half + place] = -scale * low * (1 - low) * group.low / most_;
    }
  });
  return gradients;
}

std::shared_ptr<const StoredMatrix> LearnedClip::store(const std::string& name, ThreadPool& threads) const {
  GridBuilder builder(storage_, rows_, cols_);
  threads.parallel_for(rows_, [&](int64_t r) {
    std::vector<uint8_t> codes(static_cast<size_t>(cols_));
    std::vector<GroupScale> scales(static_cast<size_t>(groups_));
    for (int64_t g = 0; g < groups_; ++g) {
      const Group group = group_of(r, g);
      scales[static_cast<size_t>(g)] = {group.scale, group.scale, static_cast<uint8_t>(group.zero), {}};
      for (int64_t c = first_of(g); c < end_of(g); ++c) {
        const float w = w_[static_cast<size_t>(r * cols_ + c)];
        const float steps = group.scale > 0 ? std::nearbyint(w / group.scale) : 0;
        codes[static_cast<size_t>(c)] = static_cast<uint8_t>(std::clamp(steps + group.zero, 0.0f, most_));
      }
    }
    builder.store_codes(r, codes.data());
    builder.store_scales(r, scales);
  });
  return builder.finish(name);
}

}  // namespace bitloom
