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

CachedSequence::CachedSequence(Decoder& decoder, KvFormat kv)
    : decoder_(decoder),
      cache_(decoder.graph(), first_capacity(decoder.graph()), kv),
      logits_(static_cast<size_t>(decoder.graph().vocab_size)) {}

int64_t CachedSequence::keep(std::span<const int32_t> ids) {
  const std::span<const int32_t> usable = ids.first(ids.empty() ? 0 : ids.size() - 1);
  const auto [end, _] = std::mismatch(ids_.begin(), ids_.end(), usable.begin(), usable.end());
  truncate(end - ids_.begin());
  return static_cast<int64_t>(ids_.size());
}

void CachedSequence::truncate(int64_t size) {
  ids_.resize(static_cast<size_t>(size));
  cache_.truncate(size);
}

std::span<float> CachedSequence::step(std::span<const int32_t> tokens, bool want_logits) {
  return append(tokens, want_logits ? 1 : 0);
}

std::span<float> CachedSequence::step_all(std::span<const int32_t> tokens) {
  return append(tokens, static_cast<int64_t>(tokens.size()));
}

/// Logits after the last `rows` tokens.
std::span<float> CachedSequence::append(std::span<const int32_t> tokens, int64_t rows) {
  cache_.ensure(cache_.size() + static_cast<int64_t>(tokens.size()));
  const std::span<const float> hidden = decoder_.step(tokens, cache_);
  ids_.insert(ids_.end(), tokens.begin(), tokens.end());
  if (rows == 0) return {};
  const auto size = static_cast<size_t>(rows * decoder_.graph().vocab_size);
  if (logits_.size() < size) logits_.resize(size);
  decoder_.logits(hidden.last(static_cast<size_t>(rows * decoder_.hidden_width())), rows, logits_.data());
  return std::span(logits_).first(size);
}

}  // namespace bitloom
