#include "round/trellis/block_ldl.h"

#include "base/error.h"
#include "linalg/cholesky.h"
#include "round/damping.h"

namespace bitloom {

bool factor_block_ldl(std::vector<float>& h, int64_t n, int64_t tile, BlockLdl& out, ThreadPool& threads) {
  // The lower factor of H is the reversed one of the reversed H, reversed.
  const auto at = [n](int64_t i, int64_t j) { return static_cast<size_t>(i * n + j); };
  std::vector<float> c(h.size());
  threads.parallel_for(n, [&](int64_t i) {
    for (int64_t j = 0; j < n; ++j) c[at(i, j)] = h[at(n - 1 - i, n - 1 - j)];
  });
  if (reversed_cholesky(c.data(), n, threads) != n) return false;
  const auto lower = [&](int64_t i, int64_t j) { return c[at(n - 1 - i, n - 1 - j)]; };
  out.n = n;
  out.l = std::move(h);
  out.d.assign(static_cast<size_t>(n), 0.0);
  threads.parallel_for(n, [&](int64_t i) {
    float* row = out.l.data() + i * n;
    const int64_t own = i / tile * tile;  // the first column of i's own block
    for (int64_t j = own; j < n; ++j) row[j] = j == i ? 1.0f : 0.0f;
    for (int64_t first = 0; first < own; first += tile) {
      for (int64_t k = first + tile - 1; k >= first; --k) {
        double rest = lower(i, k);
        for (int64_t m = k + 1; m < first + tile; ++m) {
          rest -= static_cast<double>(row[m]) * static_cast<double>(lower(m, k));
        }
        row[k] = static_cast<float>(rest / static_cast<double>(lower(k, k)));
      }
    }
    for (int64_t k = own; k <= i; ++k) {
      out.d[static_cast<size_t>(i)] += static_cast<double>(lower(i, k)) * static_cast<double>(lower(i, k));
    }
  });
  return true;
}

BlockLdl make_block_ldl(const SecondMoment& moment, int64_t padded, int64_t tile, double damping, ThreadPool& threads) {
  if (moment.tokens() == 0) fail(ErrorKind::kFailed, "error feedback needs calibration tokens, and none were seen");
  const int64_t channels = moment.channels();
  BlockLdl factor;
  factor.dead.assign(static_cast<size_t>(padded), 0);
  double trace = 0;
  for (int64_t i = 0; i < channels; ++i) {
    factor.dead[static_cast<size_t>(i)] = moment.mean(i, i) == 0;
    trace += factor.dead[static_cast<size_t>(i)] ? 1.0 : moment.mean(i, i);
  }
  for (factor.damping = damping; factor.damping < 1; factor.damping += kDampingStep) {
    std::vector<float> h(static_cast<size_t>(padded * padded));
    const double lambda = factor.damping * trace / static_cast<double>(channels);
    threads.parallel_for(padded, [&](int64_t i) {
      float* row = h.data() + i * padded;
      for (int64_t j = 0; j < channels && i < channels; ++j) row[j] = static_cast<float>(moment.mean(i, j));
      const double own = i >= channels || factor.dead[static_cast<size_t>(i)] ? 1.0 : moment.mean(i, i);
      row[i] = static_cast<float>(own + (i < channels ? lambda : 0));
    });
    if (factor_block_ldl(h, padded, tile, factor, threads)) return factor;
  }
  fail(ErrorKind::kFailed,
       "the second moment of {} channels ({} tokens) is not positive definite with any damping below 1", channels,
       moment.tokens());
}

}  // namespace bitloom
