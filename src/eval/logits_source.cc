#include "eval/logits_source.h"

#include <vector>

#include "base/error.h"

namespace bitloom {
namespace {

class DecoderLogits final : public LogitsSource {
 public:
  explicit DecoderLogits(Decoder& decoder) : decoder_(decoder) {}

  int64_t vocab_size() const override { return decoder_.graph().vocab_size; }

  void run(std::span<const int32_t> tokens) override {
    const std::span<const float> hidden = decoder_.forward(tokens, 1, static_cast<int64_t>(tokens.size()));
    hidden_.assign(hidden.begin(), hidden.end());
  }

  void logits(int64_t first, int64_t count, float* out) override {
    const int64_t width = decoder_.hidden_width();
    const int64_t length = static_cast<int64_t>(hidden_.size()) / width;
    if (first < 0 || count < 0 || first > length - count)
      fail(ErrorKind::kFailed, "logits at positions {}..{} of a sequence of {}", first, first + count - 1, length);
    const std::span<const float> rows(hidden_.data() + first * width, static_cast<size_t>(count * width));
    decoder_.logits(rows, count, out);
  }

 private:
  Decoder& decoder_;
  std::vector<float> hidden_;  // [tokens, width]
};

}  // namespace

std::unique_ptr<LogitsSource> logits_of(Decoder& decoder) { return std::make_unique<DecoderLogits>(decoder); }

}  // namespace bitloom
