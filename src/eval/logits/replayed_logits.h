#pragma once
// A reference that is asked for the same windows again and again, once per candidate: it runs each window once and
// keeps the last hidden states (windows * length * width floats), not the logits, which are vocabulary / width times
// larger.

#include <map>
#include <span>
#include <vector>

#include "eval/logits/logits_source.h"

namespace bitloom {

class ReplayedLogits final : public LogitsSource {
 public:
  /// The decoder must outlive this.
  explicit ReplayedLogits(Decoder& decoder) : decoder_(decoder) {}
  int64_t vocab_size() const override { return decoder_.graph().vocab_size; }
  void run(std::span<const int32_t> tokens) override;
  void logits(int64_t first, int64_t count, float* out) override;

 private:
  Decoder& decoder_;
  std::map<std::vector<int32_t>, std::vector<float>> hidden_;
  std::span<const float> current_;  // of hidden_
};

}  // namespace bitloom
