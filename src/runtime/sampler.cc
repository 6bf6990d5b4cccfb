#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace bitloom {
namespace {

constexpr uint64_t kSamplerStream = 0x73616d70;  // "samp"
constexpr float kLargest = std::numeric_limits<float>::max();

void check(const SamplerOptions& o) {
  if (!(o.temperature >= 0 && std::isfinite(o.temperature)))
    misuse("temperature {}: must be 0 (greedy) or more", o.temperature);
  if (o.top_k < 0) misuse("top-k {}: must be 0 (off) or more", o.top_k);
  if (!(o.top_p > 0 && o.top_p <= 1)) misuse("top-p {}: must be above 0 and at most 1 (off)", o.top_p);
  if (!(o.min_p >= 0 && o.min_p <= 1)) misuse("min-p {}: must be from 0 (off) to 1", o.min_p);
  if (!(o.repeat_penalty > 0 && std::isfinite(o.repeat_penalty)))
    misuse("repeat-penalty {}: must be above 0 (1 is off)", o.repeat_penalty);
  if (o.repeat_last < 0) misuse("repeat-last {}: must be 0 (none) or more", o.repeat_last);
}

void check_finite(std::span<const float> logits) {
  if (logits.empty()) fail(ErrorKind::kFailed, "no logits to sample from");
  for (size_t v = 0; v < logits.size(); ++v)
    if (!std::isfinite(logits[v]))
      fail(ErrorKind::kFailed, "logit of token {} is {}: nothing can be sampled", v, logits[v]);
}

/// Most likely first, the lower id among equals: a total order, so every filter is deterministic.
bool before(const std::pair<float, int32_t>& a, const std::pair<float, int32_t>& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options) : options_(options), rng_(options.seed, kSamplerStream) {
  check(options);
}

/// x / penalty for x > 0, else x * penalty, at most the largest float, once for each distinct token among the last
/// repeat_last.
void Sampler::penalise(std::span<float> logits, std::span<const int32_t> context) const {
  if (options_.repeat_penalty == 1.0f) return;
  const size_t count = std::min(context.size(), static_cast<size_t>(options_.repeat_last));
  const std::span<const int32_t> last = context.last(count);
  std::vector<int32_t> seen(last.begin(), last.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  for (const int32_t token : seen) {
    if (token < 0 || static_cast<size_t>(token) >= logits.size()) continue;
    float& x = logits[static_cast<size_t>(token)];
    x = x > 0 ? x / options_.repeat_penalty : x * options_.repeat_penalty;
    x = std::clamp(x, -kLargest, kLargest);
  }
}

/// The k largest, sorted; all of them when top-k is off.
void Sampler::keep_top_k() {
  const auto all = static_cast<std::ptrdiff_t>(candidates_.size());
  const std::ptrdiff_t k = options_.top_k > 0 ? std::min<std::ptrdiff_t>(options_.top_k, all) : all;
  std::partial_sort(candidates_.begin(), candidates_.begin() + k, candidates_.end(), before);
  candidates_.resize(static_cast<size_t>(k));
}

/// The fewest of the most likely whose probabilities, among those left so far, reach top_p (the one that reaches it
/// stays).
void Sampler::keep_top_p() {
  if (options_.top_p >= 1.0f) return;
  double total = 0, sum = 0;
  for (const auto& [logit, id] : candidates_) total += std::exp(static_cast<double>(logit) - candidates_[0].first);
  size_t keep = 0;
  while (keep < candidates_.size() && sum < options_.top_p * total)
    sum += std::exp(static_cast<double>(candidates_[keep++].first) - candidates_[0].first);
  candidates_.resize(keep);
}

/// Those at least min_p times as likely as the most likely one: x >= max x + log min_p.
void Sampler::keep_min_p() {
  if (options_.min_p <= 0.0f) return;
  const double least = candidates_[0].first + std::log(static_cast<double>(options_.min_p));
  size_t keep = 1;
  while (keep < candidates_.size() && candidates_[keep].first >= least) ++keep;
  candidates_.resize(keep);
}

void Sampler::filter(std::span<const float> logits) {
  candidates_.clear();
  for (size_t v = 0; v < logits.size(); ++v) candidates_.emplace_back(logits[v], static_cast<int32_t>(v));
  keep_top_k();
  keep_top_p();
  keep_min_p();
}

/// exp((x - max x) / temperature) of each candidate, and their sum.
double Sampler::weigh() {
  weights_.clear();
  double total = 0;
  for (const auto& [logit, id] : candidates_) {
    weights_.push_back(std::exp((static_cast<double>(logit) - candidates_[0].first) / options_.temperature));
    total += weights_.back();
  }
  return total;
}

int32_t Sampler::sample(std::span<float> logits, std::span<const int32_t> context) {
  check_finite(logits);
  penalise(logits, context);
  if (options_.temperature == 0.0f)
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  filter(logits);
  double left = rng_.uniform_double() * weigh();
  size_t chosen = 0;
  while (chosen + 1 < weights_.size() && left >= weights_[chosen]) left -= weights_[chosen++];
  return candidates_[chosen].second;
}

std::vector<std::pair<int32_t, double>> Sampler::distribution(std::span<float> logits,
                                                              std::span<const int32_t> context) {
  check_finite(logits);
  penalise(logits, context);
  filter(logits);
  if (options_.temperature == 0.0f) return {{candidates_[0].second, 1.0}};
  const double total = weigh();
  std::vector<std::pair<int32_t, double>> out;
  for (size_t i = 0; i < weights_.size(); ++i) out.emplace_back(candidates_[i].second, weights_[i] / total);
  return out;
}

}  // namespace bitloom
