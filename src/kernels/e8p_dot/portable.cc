// The definition as plain loops.

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/e8p_dot/e8p_dot.h"

namespace bitloom {
namespace {

/// v of a code.
void decode(const E8pTables& tables, const std::byte* from, float* point) {
  uint16_t code;
  std::memcpy(&code, from, sizeof code);
  const int8_t *vector = tables.vectors[code >> 8], *signs = tables.signs[code & 255];
  const int shift = std::abs(signs[0]) - kE8pOffset;
  for (int64_t i = 0; i < kE8pPoint; ++i) {
    const int negative = signs[i] >> 7;  // all bits, or none
    point[i] = static_cast<float>((vector[i] ^ negative) - negative + shift);
  }
}

}  // namespace

void e8p_dot_portable(const E8pDotCall& call) {
  const E8pRows& w = call.w;
  for (int64_t r = call.first; r < call.last; ++r) {
    float sums[kE8pTokens][kE8pPoint] = {};
    for (int64_t j = 0; j < w.points(); ++j) {
      float point[kE8pPoint];
      decode(*w.tables, w.codes + 2 * (r * w.points() + j), point);
      const int64_t first = j * kE8pPoint, count = std::min(kE8pPoint, w.cols - first);
      for (int64_t t = 0; t < call.tokens; ++t) {
        const float* x = call.x + t * w.cols + first;
        if (count == kE8pPoint) {
          for (int64_t i = 0; i < kE8pPoint; ++i) sums[t][i] += point[i] * x[i];
        } else {
          for (int64_t i = 0; i < count; ++i) sums[t][i] += point[i] * x[i];
        }
      }
    }
    for (int64_t t = 0; t < call.tokens; ++t) {
      const float* s = sums[t];
      call.y[t * call.y_stride + r] = w.scale * (((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7])));
    }
  }
}

}  // namespace bitloom
