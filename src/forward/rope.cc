#include "forward/rope.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace bitloom {

void RopeTable::reach(int64_t length) {
  if (length <= length_) return;
  const int64_t grown = std::max(length, 2 * length_);
  for (int64_t position = length_; position < grown; ++position) {
    for (const double inv_freq : rope_->inv_freq) {
      const double angle = static_cast<double>(position) * inv_freq;
      cos_.push_back(static_cast<float>(std::cos(angle) * rope_->attention_factor));
      sin_.push_back(static_cast<float>(std::sin(angle) * rope_->attention_factor));
    }
  }
  length_ = grown;
}

void RopeTable::rotate(int64_t position, float* x) const {
  assert(position < length_);
  const int64_t n = static_cast<int64_t>(rope_->inv_freq.size());
  const float* c = cos_.data() + position * n;
  const float* s = sin_.data() + position * n;
  for (int64_t i = 0; i < n; ++i) {
    const float a = x[i], b = x[i + n];
    x[i] = a * c[i] - b * s[i];
    x[i + n] = b * c[i] + a * s[i];
  }
}

}  // namespace bitloom
