// The definition as plain loops.

#include <algorithm>

#include "kernels/int_dot/group_numbers.h"
#include "kernels/level_dot/level_dot.h"

namespace bitloom {

void level_dot_portable(const LevelDotCall& call) {
  constexpr int64_t kChunk = 256;
  const IntRows& w = call.w.w;
  uint8_t codes[kChunk];
  for (int64_t r = call.first; r < call.last; ++r) {
    const int64_t row = w.order == nullptr ? r : w.order[r];
    for (int64_t t = 0; t < call.tokens; ++t) {
      float total = 0;
      for (int64_t g = 0, begin = 0; begin < w.cols; ++g, begin += w.group) {
        const int64_t end = std::min(w.cols, begin + w.group);
        float sum = 0;
        for (int64_t c = begin; c < end; c += kChunk) {
          const int64_t count = std::min(kChunk, end - c);
          unpack_bits(w.codes + row * w.row_bytes, c, count, call.w.bits, codes);
          for (int64_t i = 0; i < count; ++i) sum += call.w.levels[codes[i]] * call.x[t * w.cols + c + i];
        }
        total += group_numbers(w, call.w.bits, row / w.group_rows, g).scale * sum;
      }
      call.y[t * call.y_stride + r] = w.factor * total;
    }
  }
}

}  // namespace bitloom
