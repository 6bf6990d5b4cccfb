#include "eval/logits/replayed_logits.h"

#include "base/error.h"

namespace bitloom {

void ReplayedLogits::run(std::span<const int32_t> tokens) {
  const auto [place, is_new] = hidden_.try_emplace({tokens.begin(), tokens.end()});
  if (is_new) {
    const std::span<const float> states = decoder_.forward(tokens, 1, static_cast<int64_t>(tokens.size()));
    place->second.assign(states.begin(), states.end());
  }
  current_ = place->second;
}

void ReplayedLogits::logits(int64_t first, int64_t count, float* out) {
  const int64_t width = decoder_.hidden_width();
  const int64_t length = static_cast<int64_t>(current_.size()) / width;
  if (first < 0 || count < 0 || first + count > length)
    fail(ErrorKind::kFailed, "logits of positions {} to {} asked, {} were run", first, first + count, length);
  decoder_.logits(current_.subspan(static_cast<size_t>(first * width), static_cast<size_t>(count * width)), count, out);
}

}  // namespace bitloom
