#include "eval/reference/compact_row.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

namespace bitloom {
namespace {

using Entry = CompactRow::Entry;

/// log sum exp of all logits.
double log_z_of(std::span<const float> logits) {
  const double top = top_of(logits).value;
  double z = 0;
  for (const float x : logits) z += std::exp(x - top);
  return top + std::log(z);
}

/// The `count` likeliest tokens in falling order, lowest id first among equals.
std::vector<int32_t> likeliest(std::span<const float> logits, int64_t count) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto before = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::nth_element(ids.begin(), ids.begin() + count - 1, ids.end(), before);
  ids.resize(static_cast<size_t>(count));
  std::sort(ids.begin(), ids.end(), before);
  return ids;
}

/// The k of the header: the first k of `ranked` are certain. `rest`: mass of what is not in `ranked`, which has
/// entries - 2 tokens, so that at least two are drawn.
size_t certain_count(std::span<const float> logits, std::span<const int32_t> ranked, double log_z, double rest) {
  std::vector<double> tail(ranked.size() + 1, rest);  // mass outside the first k
  const auto p = [&](size_t i) { return std::exp(logits[static_cast<size_t>(ranked[i])] - log_z); };
  for (size_t i = ranked.size(); i-- > 0;) tail[i] = tail[i + 1] + p(i);
  size_t k = Candidates().size();
  while (k < ranked.size() && p(k) * static_cast<double>(ranked.size() + 2 - k) > tail[k]) ++k;
  return k;
}

/// A token of the tail from each of `count` slices of equal mass, and the tail's mass.
std::vector<Entry> draw(std::span<const float> logits, std::span<const Entry> certain, double log_z, size_t count,
                        Rng& rng, double& mass) {
  std::vector<double> sums(logits.size());  // mass of the tail up to and including v
  mass = 0;
  auto next = certain.begin();
  for (size_t v = 0; v < logits.size(); ++v) {
    if (next != certain.end() && next->token == static_cast<int32_t>(v))
      ++next;
    else
      mass += std::exp(logits[v] - log_z);
    sums[v] = mass;
  }
  std::vector<Entry> out;
  if (mass <= 0) return out;
  for (size_t j = 0; j < count; ++j) {
    const double point = (static_cast<double>(j) + rng.uniform_double()) / static_cast<double>(count) * mass;
    // The first token whose sum is beyond the point has mass of its own. Rounding can put the last point on the end.
    auto place = std::upper_bound(sums.begin(), sums.end(), point);
    if (place == sums.end()) place = std::lower_bound(sums.begin(), sums.end(), mass);
    const auto v = static_cast<size_t>(place - sums.begin());
    out.push_back({static_cast<int32_t>(v), static_cast<float>(logits[v] - log_z)});
  }
  return out;
}

/// q - p + p log(p / q): what KL sums, and never below 0, when both sums are 1.
double term(double log_p, double log_q) {
  const double p = std::exp(log_p);
  return std::exp(log_q) - p + p * (log_p - log_q);
}

struct ModelRow {
  Top top;
  double log_z = 0, log_tail = -INFINITY;  // log of sums of exp(x): of all, and of what is not certain
};

ModelRow read_model(std::span<const float> logits, std::span<const Entry> certain) {
  ModelRow out;
  out.top = top_of(logits);
  std::vector<float> tail(logits.begin(), logits.end());
  double inside = 0, outside = 0;
  for (const Entry& entry : certain) {
    const auto v = static_cast<size_t>(entry.token);
    inside += std::exp(static_cast<double>(logits[v]) - out.top.value);
    tail[v] = -INFINITY;
  }
  const double highest = top_of(tail).value;  // -inf when all are certain
  if (std::isfinite(highest)) {
    for (const float x : tail) outside += std::exp(x - highest);
    out.log_tail = highest + std::log(outside);
    outside *= std::exp(highest - out.top.value);
  }
  out.log_z = out.top.value + std::log(inside + outside);
  return out;
}

/// c of the header.
double control_weight(double second_moment) {
  return second_moment > 1e-8 ? second_moment / std::expm1(second_moment) : 1;
}

/// Adds the draws' estimate of P E[D'] and its variance. `shift`: log(P / Q).
void add_draws(const CompactRow& row, std::span<const float> logits, double log_z, double shift, double c,
               RowDivergence& out) {
  constexpr double kFarthest = 300;  // exp(300) squared is still a number
  const auto m = static_cast<double>(row.drawn.size());
  std::vector<double> h;
  for (const Entry& entry : row.drawn) {
    const double d = entry.log_p - (logits[static_cast<size_t>(entry.token)] - log_z) - shift;
    h.push_back(d + c * std::expm1(std::min(-d, kFarthest)));
  }
  const double mean = std::accumulate(h.begin(), h.end(), 0.0) / m;
  double square = 0;
  for (const double x : h) square += (x - mean) * (x - mean);
  const double tail = std::exp(static_cast<double>(row.log_tail));
  out.kl += tail * mean;
  out.variance = tail * tail * square / (m * (m - 1));
}

}  // namespace

CompactRow compact_row(std::span<const float> logits, int64_t target, int64_t entries, Rng rng) {
  assert(entries >= kLeastCompactEntries);
  const double log_z = log_z_of(logits);
  CompactRow out;
  out.top = static_cast<int32_t>(top_of(logits).index);
  out.log_target = static_cast<float>(logits[static_cast<size_t>(target)] - log_z);
  const auto log_p = [&](int32_t v) { return static_cast<float>(logits[static_cast<size_t>(v)] - log_z); };
  const bool whole = static_cast<int64_t>(logits.size()) <= entries;
  std::vector<int32_t> ranked = likeliest(logits, whole ? static_cast<int64_t>(logits.size()) : entries - 2);
  if (!whole) {
    std::vector<float> others(logits.begin(), logits.end());
    for (const int32_t v : ranked) others[static_cast<size_t>(v)] = -INFINITY;
    const double rest = std::exp(log_z_of(others) - log_z);
    ranked.resize(certain_count(logits, ranked, log_z, rest));
  }
  std::sort(ranked.begin(), ranked.end());
  for (const int32_t v : ranked) out.certain.push_back({v, log_p(v)});
  if (whole) return out;
  double mass = 0;
  out.drawn = draw(logits, out.certain, log_z, static_cast<size_t>(entries) - out.certain.size(), rng, mass);
  if (!out.drawn.empty()) out.log_tail = static_cast<float>(std::log(mass));
  return out;
}

RowDivergence compact_divergence(const CompactRow& row, std::span<const float> logits, int64_t target) {
  const ModelRow q = read_model(logits, row.certain);
  RowDivergence out;
  double moment = 0, mass = 0;
  for (const Entry& entry : row.certain) {
    const double log_p = entry.log_p, log_q = logits[static_cast<size_t>(entry.token)] - q.log_z;
    out.kl_certain += term(log_p, log_q);
    moment += std::exp(log_p) * (log_p - log_q) * (log_p - log_q);
    mass += std::exp(log_p);
  }
  // The terms' q - p sum to 0 over C and the tail together. A tail without mass (P = 0) still has q's.
  const double log_q_tail = q.log_tail - q.log_z;
  out.kl_certain += row.drawn.empty() ? std::exp(log_q_tail) : term(row.log_tail, log_q_tail);
  out.kl = out.kl_certain;
  if (!row.drawn.empty())
    add_draws(row, logits, q.log_z, row.log_tail - log_q_tail, control_weight(moment / mass), out);
  out.nll_p = -static_cast<double>(row.log_target);
  out.nll_q = q.log_z - logits[static_cast<size_t>(target)];
  out.same_top = row.top == q.top.index;
  out.q = candidates_of(logits, q.log_z);
  std::vector<Entry> best = row.certain;
  const size_t count = std::min(best.size(), out.p.size());
  std::partial_sort(best.begin(), best.begin() + static_cast<ptrdiff_t>(count), best.end(),
                    [&](const Entry& a, const Entry& b) {
                      if (a.log_p != b.log_p) return a.log_p > b.log_p;
                      return (a.token == row.top) != (b.token == row.top) ? a.token == row.top : a.token < b.token;
                    });
  for (size_t i = 0; i < count; ++i) out.p[i] = {best[i].token, best[i].log_p};
  return out;
}

}  // namespace bitloom
