#include "runtime/lookup.h"

#include <algorithm>

namespace bitloom {

std::vector<int32_t> look_up(std::span<const int32_t> text, int64_t count) {
  for (const size_t length : {size_t{3}, size_t{2}}) {
    if (text.size() <= length) continue;
    const auto last = text.last(length);
    const auto earlier = text.first(text.size() - 1);
    const auto found = std::find_end(earlier.begin(), earlier.end(), last.begin(), last.end());
    if (found == earlier.end()) continue;
    const auto after = text.subspan(static_cast<size_t>(found - earlier.begin()) + length);
    const auto taken = after.first(std::min(after.size(), static_cast<size_t>(std::max<int64_t>(count, 0))));
    return {taken.begin(), taken.end()};
  }
  return {};
}

std::span<float> LookupSteps::next(std::span<const int32_t> text, int64_t guesses) {
  if (used_ < guesses_.size() && guesses_[used_] == text.back()) {
    ++accepted_;
    return row(++used_);
  }
  finish(text.first(text.size() - 1));
  guesses_ = look_up(text, guesses);
  std::vector<int32_t> tokens = {text.back()};
  tokens.insert(tokens.end(), guesses_.begin(), guesses_.end());
  rows_ = hooks_.step(tokens);
  vocab_ = rows_.size() / tokens.size();
  ++passes_;
  guessed_ += static_cast<int64_t>(guesses_.size());
  return row(0);
}

void LookupSteps::finish(std::span<const int32_t> text) {
  if (used_ < guesses_.size()) hooks_.truncate(static_cast<int64_t>(text.size()));
  guesses_.clear();
  used_ = 0;
}

}  // namespace bitloom
