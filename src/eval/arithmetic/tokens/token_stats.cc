#include "eval/arithmetic/tokens/token_stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "base/text/text.h"

namespace bitloom::arithmetic {
namespace {

constexpr size_t kTop = 5;

/// The largest values, descending.
std::vector<float> largest(std::span<const float> row) {
  std::vector<float> top(std::min(kTop, row.size()));
  std::partial_sort_copy(row.begin(), row.end(), top.begin(), top.end(), std::greater<>());
  return top;
}

int64_t rank_of(std::span<const float> logits, int32_t token) {
  const float value = logits[static_cast<size_t>(token)];
  int64_t rank = 1;
  for (size_t v = 0; v < logits.size(); ++v)
    if (logits[v] > value || (logits[v] == value && v < static_cast<size_t>(token))) ++rank;
  return rank;
}

/// 1 + how many candidates have a lower id than `chosen`; none when it is not among them or one is no token.
std::optional<int> rank_among(const Tokenizer& tokenizer, const std::vector<std::string>& candidates,
                              const std::string& chosen) {
  if (std::find(candidates.begin(), candidates.end(), chosen) == candidates.end()) return std::nullopt;
  const std::optional<int32_t> own = tokenizer.token_to_id(chosen);
  int rank = 1;
  for (const std::string& candidate : candidates) {
    const std::optional<int32_t> id = tokenizer.token_to_id(candidate);
    if (!id || !own) return std::nullopt;
    if (*id < *own) ++rank;
  }
  return rank;
}

std::vector<std::string> neighbours(const std::string& truth) {
  const int64_t value = *parse_number<int64_t>(truth);
  const auto range = static_cast<int64_t>(std::pow(10.0, static_cast<double>(truth.size())));
  std::vector<std::string> out;
  for (const int64_t step : {range - 1, range, range + 1})
    out.push_back(fmt::format("{:0{}}", (value + step) % range, truth.size()));
  return out;
}

std::vector<std::string> first_digit_substitutions(const std::string& truth) {
  std::vector<std::string> out;
  for (char digit = '0'; digit <= '9'; ++digit) out.push_back(digit + truth.substr(1));
  return out;
}

}  // namespace

StepStats step_stats(std::span<const float> logits, int32_t chosen, std::optional<int32_t> truth) {
  const std::vector<float> top = largest(logits);
  double total = 0, weighted = 0;  // Z = sum exp(x - m) and sum exp(x - m) (x - m)
  for (const float x : logits) {
    const double shifted = static_cast<double>(x) - top[0], weight = std::exp(shifted);
    total += weight;
    weighted += weight * shifted;
  }
  const auto log_p = [&](float x) { return static_cast<double>(x) - top[0] - std::log(total); };
  StepStats out;
  out.logprob = log_p(logits[static_cast<size_t>(chosen)]);
  out.gap = out.logprob - log_p(top[1]);
  out.entropy = std::log(total) - weighted / total;
  double seen = 0, bound = 0;
  for (const float x : top) {
    seen += std::exp(log_p(x));
    bound -= std::exp(log_p(x)) * log_p(x);
  }
  out.entropy_bound = bound - std::max(0.0, 1 - seen) * log_p(top.back());
  if (truth) {
    out.true_rank = rank_of(logits, *truth);
    out.true_logprob = log_p(logits[static_cast<size_t>(*truth)]);
  }
  return out;
}

FrequencyRanks frequency_ranks(const Tokenizer& tokenizer, const std::string& chosen, const std::string& truth) {
  FrequencyRanks out;
  out.off_by_one = rank_among(tokenizer, neighbours(truth), chosen);
  out.first_digit = rank_among(tokenizer, first_digit_substitutions(truth), chosen);
  const auto chosen_id = tokenizer.token_to_id(chosen), true_id = tokenizer.token_to_id(truth);
  if (chosen_id && true_id && chosen != truth) out.more_frequent = *chosen_id < *true_id;
  return out;
}

}  // namespace bitloom::arithmetic
