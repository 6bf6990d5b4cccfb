#pragma once
// Chooses the next token from logits. Order of filters as llama.cpp's default chain: repetition penalty, top-k, top-p,
// min-p, temperature. So the filters see the model's own distribution, and temperature only spreads what they left;
// Hugging Face's generate() applies temperature before them, which differs whenever it is not 1.

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/rng.h"

namespace bitloom {

struct SamplerOptions {
  float temperature = 0.8f;     // 0: greedy (lowest id wins ties)
  int top_k = 40;               // 0: off
  float top_p = 0.95f;          // in (0, 1]; 1: off
  float min_p = 0.05f;          // in [0, 1]; 0: off
  float repeat_penalty = 1.0f;  // 1: off; positive logits are divided, others multiplied (CTRL, 2019)
  int repeat_last = 64;         // distinct tokens among this many last ones are penalised once each; 0: none
  uint64_t seed = 0;
};

class Sampler {
 public:
  /// Error(kUsage) names an option out of its range.
  explicit Sampler(const SamplerOptions& options);

  /// `logits` [vocab] is scratch; `context` are the tokens so far. Draws one random number, none when greedy, so the
  /// tokens are a function of seed and logits. Error(kFailed) naming the first logit that is not finite.
  int32_t sample(std::span<float> logits, std::span<const int32_t> context);

  /// What the filters leave, with probabilities: the distribution that sample() draws from. For a look inside, and
  /// tests.
  std::vector<std::pair<int32_t, double>> distribution(std::span<float> logits, std::span<const int32_t> context);

 private:
  void penalise(std::span<float> logits, std::span<const int32_t> context) const;
  void filter(std::span<const float> logits);
  void keep_top_k();
  void keep_top_p();
  void keep_min_p();
  double weigh();

  SamplerOptions options_;
  Rng rng_;
  std::vector<std::pair<float, int32_t>> candidates_;  // logit and id, most likely first
  std::vector<double> weights_;                        // of the candidates, the first is 1
};

}  // namespace bitloom
