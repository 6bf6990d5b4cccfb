#include "runtime/cached_sequence.h"

#include <algorithm>

namespace bitloom {
namespace {

// Of the cache, which grows. Memory is taken as it fills, so that this much at once is only addresses.
constexpr int64_t kFirstCapacity = 4096;

int64_t first_capacity(const Graph& graph) {
  return graph.max_positions > 0 ? std::min(graph.max_positions, kFirstCapacity) : kFirstCapacity;
}

}  // namespace

CachedSequence::CachedSequence(Decoder& decoder)
    : decoder_(decoder),
      cache_(decoder.graph(), first_capacity(decoder.graph())),
      logits_(static_cast<size_t>(decoder.graph().vocab_size)) {}

int64_t CachedSequence::keep(std::span<const int32_t> ids) {
  const std::span<const int32_t> usable = ids.first(ids.empty() ? 0 : ids.size() - 1);
  const auto [end, _] = std::mismatch(ids_.begin(), ids_.end(), usable.begin(), usable.end());
  ids_.erase(end, ids_.end());
  const auto kept = static_cast<int64_t>(ids_.size());
  cache_.truncate(kept);
  return kept;
}

std::span<float> CachedSequence::step(std::span<const int32_t> tokens, bool want_logits) {
  cache_.ensure(cache_.size() + static_cast<int64_t>(tokens.size()));
  const std::span<const float> hidden = decoder_.step(tokens, cache_);
  ids_.insert(ids_.end(), tokens.begin(), tokens.end());
  if (!want_logits) return {};
  decoder_.logits(hidden.last(static_cast<size_t>(decoder_.hidden_width())), 1, logits_.data());
  return logits_;
}

}  // namespace bitloom
