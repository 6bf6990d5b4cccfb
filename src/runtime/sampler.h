#pragma once
// Chooses the next token from logits. Order of filters as llama.cpp's default chain: repetition penalty, top-k, top-p,
// min-p, temperature.

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"

namespace bitloom {

struct SamplerOptions {
  float temperature = 0.8f;     // 0: greedy (lowest id wins ties)
  int top_k = 40;               // 0: off
  float top_p = 0.95f;          // 1: off
  float min_p = 0.05f;          // 0: off
  float repeat_penalty = 1.0f;  // 1: off; positive logits are divided, negative ones multiplied (CTRL, 2019)
  int repeat_last = 64;         // tokens of the context that are penalised
  uint64_t seed = 0;
};

class Sampler {
 public:
  /// Error(kUsage) names an option out of its range.
  explicit Sampler(const SamplerOptions& options);
  /// `logits` [vocab] is scratch; `context` are the tokens so far.
  int32_t sample(std::span<float> logits, std::span<const int32_t> context);

 private:
  SamplerOptions options_;
  Rng rng_;
  std::vector<std::pair<float, int32_t>> candidates_;
};

}  // namespace bitloom
