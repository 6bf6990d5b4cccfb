#pragma once
// Greedy decoding at the price of reading, as far as the model says what was expected.

#include <span>
#include <vector>

#include "eval/logits/logits_source.h"

namespace bitloom::arithmetic {

/// A model that is asked for one token after another, with a guess of what it will say: the first run() reads the guess
/// along, in one pass, and every later run() over a beginning of what was read costs nothing. The logits are the
/// model's own, so the guess changes no answer; the study guesses the right one.
class DraftedSource final : public LogitsSource {
 public:
  /// The model must outlive this.
  explicit DraftedSource(LogitsSource& model) : model_(model) {}

  /// What the next prompt will perhaps be continued with. Forgets what was read before.
  void expect(std::vector<int32_t> draft) {
    draft_ = std::move(draft);
    read_.clear();
  }

  int64_t vocab_size() const override { return model_.vocab_size(); }
  int64_t max_positions() const override { return model_.max_positions(); }
  void run(std::span<const int32_t> tokens) override;
  void logits(int64_t first, int64_t count, float* out) override { model_.logits(first, count, out); }

 private:
  LogitsSource& model_;
  std::vector<int32_t> draft_, read_;
};

}  // namespace bitloom::arithmetic
