#include "observe/finite_tokens.h"

#include <algorithm>

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

/// 0 * x is 0 for finite x and NaN otherwise; sums in lanes vectorise where an early exit would not.
BITLOOM_VECTOR_CLONES bool is_finite(const float* x, int64_t n) {
  constexpr int64_t kLanes = 16;
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += 0.0f * x[i + lane];
  }
  for (; i < n; ++i) lanes[0] += 0.0f * x[i];
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum == 0.0f;
}

}  // namespace

std::vector<char> finite_tokens(const float* x, int64_t tokens, int64_t channels, int64_t stride, ThreadPool& threads) {
  constexpr int64_t kBlock = 64;
  std::vector<char> mask(static_cast<size_t>(tokens));
  threads.parallel_for((tokens + kBlock - 1) / kBlock, [&](int64_t block) {
    for (int64_t t = block * kBlock; t < std::min(tokens, (block + 1) * kBlock); ++t) {
      mask[static_cast<size_t>(t)] = is_finite(x + t * stride, channels);
    }
  });
  return mask;
}

void for_each_run(const std::vector<char>& mask, int64_t most, const std::function<void(int64_t, int64_t)>& run) {
  const auto tokens = static_cast<int64_t>(mask.size());
  for (int64_t begin = 0; begin < tokens;) {
    int64_t end = begin;
    while (end < tokens && end - begin < most && mask[static_cast<size_t>(end)]) ++end;
    if (end > begin) run(begin, end);
    begin = std::max(end, begin + 1);
  }
}

}  // namespace bitloom
