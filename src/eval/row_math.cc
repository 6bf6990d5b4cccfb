#include "eval/row_math.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace bitloom {

int64_t first_non_finite(std::span<const float> row) {
  for (size_t v = 0; v < row.size(); ++v)
    if (!std::isfinite(row[v])) return static_cast<int64_t>(v);
  return -1;
}

Top top_of(std::span<const float> row) {
  assert(!row.empty());
  Top top{row[0], 0};
  for (size_t v = 1; v < row.size(); ++v)
    if (row[v] > top.value) top = {row[v], static_cast<int64_t>(v)};
  return top;
}

double row_nll(std::span<const float> row, int64_t target) {
  const double top = top_of(row).value;
  double z = 0;
  for (const float x : row) z += std::exp(static_cast<double>(x) - top);
  return std::log(z) + (top - row[static_cast<size_t>(target)]);
}

Candidates candidates_of(std::span<const float> row, double log_z) {
  std::array<Top, Candidates().size()> best;
  size_t count = 0;
  for (size_t v = 0; v < row.size(); ++v) {
    if (count == best.size() && row[v] <= best.back().value) continue;
    size_t at = count < best.size() ? count++ : count - 1;
    for (; at > 0 && best[at - 1].value < row[v]; --at) best[at] = best[at - 1];
    best[at] = {row[v], static_cast<int64_t>(v)};
  }
  Candidates out;
  for (size_t i = 0; i < count; ++i)
    out[i] = {static_cast<int32_t>(best[i].index), static_cast<float>(static_cast<double>(best[i].value) - log_z)};
  return out;
}

RowDivergence row_divergence(std::span<const float> p, std::span<const float> q, int64_t target) {
  assert(p.size() == q.size());
  const Top top_p = top_of(p), top_q = top_of(q);
  double z_p = 0, z_q = 0, weighted = 0;
  for (size_t v = 0; v < p.size(); ++v) {
    const double x = static_cast<double>(p[v]) - top_p.value, y = static_cast<double>(q[v]) - top_q.value;
    const double e = std::exp(x);
    z_p += e;
    z_q += std::exp(y);
    weighted += e * (x - y);
  }
  const double log_p = std::log(z_p), log_q = std::log(z_q);
  const auto t = static_cast<size_t>(target);
  RowDivergence out;
  out.kl = out.kl_certain = std::max(0.0, weighted / z_p + log_q - log_p);
  out.nll_p = log_p + (static_cast<double>(top_p.value) - p[t]);
  out.nll_q = log_q + (static_cast<double>(top_q.value) - q[t]);
  out.same_top = top_p.index == top_q.index;
  out.p = candidates_of(p, top_p.value + log_p);
  out.q = candidates_of(q, top_q.value + log_q);
  return out;
}

}  // namespace bitloom
