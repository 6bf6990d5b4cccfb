#pragma once
// What the model's distribution says at one token of an answer.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "tokenize/tokenizer.h"

namespace bitloom::arithmetic {

struct StepStats {
  double logprob = 0;                // of the chosen token, nats
  double gap = 0;                    // its log-probability less that of the second likeliest
  double entropy = 0;                // -sum_v p_v ln p_v over the whole vocabulary
  double entropy_bound = 0;          // what five log-probabilities allow to say, the paper's:
                                     // -(sum_{top 5} p ln p + (1 - sum_{top 5} p) ln p_5) <= entropy
  std::optional<int64_t> true_rank;  // of the right token: 1 for the likeliest
  std::optional<double> true_logprob;
};

/// Of a row of finite logits [vocab], vocab >= 2. `chosen` is the likeliest token, the lowest id among equals; `truth`
/// is what a right reply has here, where that is known.
StepStats step_stats(std::span<const float> logits, int32_t chosen, std::optional<int32_t> truth);

/// Whether a wrong token was taken because it is frequent. A token's id stands for its frequency: merges are numbered
/// in the order in which training made them.
struct FrequencyRanks {
  std::optional<int> off_by_one;   // of the chosen among the true token and its neighbours +-1: 1 is the most frequent
  std::optional<int> first_digit;  // among the ten tokens that differ from the true one in the first digit at most
  std::optional<bool> more_frequent;  // than the true one; none when they are the same
};

/// Of digit strings of equal length. Ranks are absent when the chosen one is none of the candidates or a candidate is
/// no token. +-1 wraps within the length: 999 + 1 is 000.
FrequencyRanks frequency_ranks(const Tokenizer& tokenizer, const std::string& chosen, const std::string& truth);

}  // namespace bitloom::arithmetic
