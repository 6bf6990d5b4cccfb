#include "eval/logits_source.h"

#include <algorithm>
#include <vector>

#include "base/error.h"

namespace bitloom {
namespace {

/// The logits of rows [first, first + count) of a sequence's hidden states [tokens, width].
void read_rows(const Decoder& decoder, const std::vector<float>& hidden, int64_t first, int64_t count, float* out) {
  const int64_t width = decoder.hidden_width();
  const int64_t length = static_cast<int64_t>(hidden.size()) / width;
  if (first < 0 || count < 0 || first > length - count)
    fail(ErrorKind::kFailed, "logits at positions {}..{} of a sequence of {}", first, first + count - 1, length);
  decoder.logits({hidden.data() + first * width, static_cast<size_t>(count * width)}, count, out);
}

class DecoderLogits final : public LogitsSource {
 public:
  explicit DecoderLogits(Decoder& decoder) : decoder_(decoder) {}

  int64_t vocab_size() const override { return decoder_.graph().vocab_size; }
  int64_t max_positions() const override { return decoder_.graph().max_positions; }

  void run(std::span<const int32_t> tokens) override {
    const std::span<const float> hidden = decoder_.forward(tokens, 1, static_cast<int64_t>(tokens.size()));
    hidden_.assign(hidden.begin(), hidden.end());
  }

  void logits(int64_t first, int64_t count, float* out) override { read_rows(decoder_, hidden_, first, count, out); }

 private:
  Decoder& decoder_;
  std::vector<float> hidden_;  // [tokens, width]
};

/// Tokens that go through the model at once: full-rate products, little memory for activations.
constexpr size_t kChunk = 512;

class SteppingLogits final : public LogitsSource {
 public:
  explicit SteppingLogits(Decoder& decoder) : decoder_(decoder), cache_(decoder.graph(), kChunk) {}

  int64_t vocab_size() const override { return decoder_.graph().vocab_size; }
  int64_t max_positions() const override { return decoder_.graph().max_positions; }

  void run(std::span<const int32_t> tokens) override {
    const auto differ = std::mismatch(tokens.begin(), tokens.end(), tokens_.begin(), tokens_.end());
    keep(static_cast<size_t>(differ.first - tokens.begin()));
    while (tokens_.size() < tokens.size())
      append(tokens.subspan(tokens_.size(), std::min(kChunk, tokens.size() - tokens_.size())));
  }

  void logits(int64_t first, int64_t count, float* out) override { read_rows(decoder_, hidden_, first, count, out); }

 private:
  // Cache, tokens and hidden states always tell of the same sequence, also when a step throws.
  void keep(size_t count) {
    cache_.truncate(static_cast<int64_t>(count));
    tokens_.resize(count);
    hidden_.resize(count * static_cast<size_t>(decoder_.hidden_width()));
  }

  void append(std::span<const int32_t> tokens) {
    const auto needed = static_cast<int64_t>(tokens_.size() + tokens.size());
    if (needed > cache_.capacity()) cache_.reserve(std::max(needed, 2 * cache_.capacity()));
    const std::span<const float> hidden = decoder_.step(tokens, cache_);
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    hidden_.insert(hidden_.end(), hidden.begin(), hidden.end());
  }

  Decoder& decoder_;
  KvCache cache_;
  std::vector<int32_t> tokens_;
  std::vector<float> hidden_;  // [tokens, width]
};

}  // namespace

std::unique_ptr<LogitsSource> logits_of(Decoder& decoder) { return std::make_unique<DecoderLogits>(decoder); }

std::unique_ptr<LogitsSource> logits_of_steps(Decoder& decoder) { return std::make_unique<SteppingLogits>(decoder); }

}  // namespace bitloom
