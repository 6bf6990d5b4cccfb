#include "eval/arithmetic/tokens/drafted_source.h"

#include <algorithm>

namespace bitloom::arithmetic {

void DraftedSource::run(std::span<const int32_t> tokens) {
  const bool is_read = tokens.size() <= read_.size() && std::equal(tokens.begin(), tokens.end(), read_.begin());
  if (is_read) return;
  read_.assign(tokens.begin(), tokens.end());
  const auto limit = static_cast<size_t>(model_.max_positions());
  if (limit == 0 || read_.size() + draft_.size() <= limit) read_.insert(read_.end(), draft_.begin(), draft_.end());
  draft_.clear();
  model_.run(read_);
}

}  // namespace bitloom::arithmetic
