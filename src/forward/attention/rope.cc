#include "forward/attention/rope.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/error.h"

namespace bitloom {

void RopeTable::grow(Angles& angles, const std::vector<double>& inv_freq, int64_t length) const {
  if (length <= angles.length) return;
  const int64_t grown = std::max(length, 2 * angles.length);
  for (int64_t position = angles.length; position < grown; ++position) {
    for (const double frequency : inv_freq) {
      const double angle = static_cast<double>(position) * frequency;
      angles.cos.push_back(static_cast<float>(std::cos(angle) * rope_->attention_factor));
      angles.sin.push_back(static_cast<float>(std::sin(angle) * rope_->attention_factor));
    }
  }
  angles.length = grown;
}

void RopeTable::reach(int64_t length) {
  if (is_long(length) && rope_->long_inv_freq.empty()) {
    refuse("a sequence of {} tokens is longer than the {} that the model's rotary scaling serves here", length,
           rope_->max_length);
  }
  grow(usual_, rope_->inv_freq, length);
  if (is_long(length)) grow(long_, rope_->long_inv_freq, length);
}

void RopeTable::turn(int64_t position, int64_t length, bool back, float* x) const {
  const Angles& angles = is_long(length) ? long_ : usual_;
  assert(position < length && length <= angles.length);
  const int64_t n = static_cast<int64_t>(rope_->inv_freq.size());
  const float* c = angles.cos.data() + position * n;
  const float* s = angles.sin.data() + position * n;
  // Pair i is (x[i * step], x[i * step + partner]).
  const auto turn_pairs = [&](int64_t step, int64_t partner, float sign) {
    for (int64_t i = 0; i < n; ++i) {
      float* pair = x + i * step;
      const float a = pair[0], b = pair[partner], sine = sign * s[i];
      pair[0] = a * c[i] - b * sine;
      pair[partner] = b * c[i] + a * sine;
    }
  };
  const float sign = back ? -1.0f : 1.0f;
  rope_->interleaved ? turn_pairs(2, 1, sign) : turn_pairs(1, n, sign);
}

}  // namespace bitloom
