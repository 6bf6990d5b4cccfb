#include "observe/channel_range.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/simd/vector_clones.h"
#include "observe/finite_tokens.h"

namespace bitloom {
namespace {

constexpr int64_t kBlock = 256;  // channels that one thread takes at a time

/// Rows [tokens, n] of x into low, high and sums [n], token after token: so the sums do not depend on how tokens are
/// dealt out to calls.
BITLOOM_VECTOR_CLONES void observe_rows(const float* x, int64_t tokens, int64_t stride, int64_t n, float* low,
                                        float* high, double* sums) {
  for (int64_t t = 0; t < tokens; ++t) {
    const float* row = x + t * stride;
    for (int64_t c = 0; c < n; ++c) {
      low[c] = row[c] < low[c] ? row[c] : low[c];
      high[c] = row[c] > high[c] ? row[c] : high[c];
      sums[c] += static_cast<double>(row[c]);
    }
  }
}

}  // namespace

ChannelRange::ChannelRange(int64_t channels)
    : low_(static_cast<size_t>(channels), std::numeric_limits<float>::infinity()),
      high_(static_cast<size_t>(channels), -std::numeric_limits<float>::infinity()),
      sums_(static_cast<size_t>(channels)) {}

void ChannelRange::add(const float* x, int64_t tokens, int64_t stride, ThreadPool& threads) {
  const std::vector<char> finite = finite_tokens(x, tokens, channels(), stride, threads);
  threads.parallel_for((channels() + kBlock - 1) / kBlock, [&](int64_t block) {
    const int64_t first = block * kBlock, n = std::min(kBlock, channels() - first);
    for_each_run(finite, tokens, [&](int64_t begin, int64_t end) {
      observe_rows(x + begin * stride + first, end - begin, stride, n, low_.data() + first, high_.data() + first,
                   sums_.data() + first);
    });
  });
  const int64_t kept = std::count(finite.begin(), finite.end(), char{1});
  tokens_ += kept, dropped_ += tokens - kept;
}

void ChannelRange::merge(const ChannelRange& other) {
  if (other.channels() != channels()) {
    fail(ErrorKind::kFailed, "ranges of {} and {} channels cannot be merged", channels(), other.channels());
  }
  for (size_t c = 0; c < low_.size(); ++c) {
    low_[c] = std::min(low_[c], other.low_[c]);
    high_[c] = std::max(high_[c], other.high_[c]);
    sums_[c] += other.sums_[c];
  }
  tokens_ += other.tokens_, dropped_ += other.dropped_;
}

// Adding +0 makes -0 to 0: which of the two equal values came first depends on the order of merging.
std::vector<float> ChannelRange::low() const {
  std::vector<float> low(low_.size());
  if (tokens_ == 0) return low;
  for (size_t c = 0; c < low.size(); ++c) low[c] = low_[c] + 0.0f;
  return low;
}

std::vector<float> ChannelRange::high() const {
  std::vector<float> high(high_.size());
  if (tokens_ == 0) return high;
  for (size_t c = 0; c < high.size(); ++c) high[c] = high_[c] + 0.0f;
  return high;
}

std::vector<float> ChannelRange::absmax() const {
  std::vector<float> most(low_.size());
  if (tokens_ == 0) return most;
  for (size_t c = 0; c < most.size(); ++c) most[c] = std::max(std::abs(low_[c]), std::abs(high_[c]));
  return most;
}

std::vector<double> ChannelRange::mean() const {
  std::vector<double> mean(sums_.size());
  if (tokens_ == 0) return mean;
  for (size_t c = 0; c < mean.size(); ++c) mean[c] = sums_[c] / static_cast<double>(tokens_);
  return mean;
}

ChannelRange ChannelRange::restore(std::vector<float> low, std::vector<float> high, std::vector<double> sums,
                                   int64_t tokens, int64_t dropped) {
  ChannelRange range(static_cast<int64_t>(low.size()));
  if (high.size() != low.size() || sums.size() != low.size() || tokens < 0 || dropped < 0) {
    refuse("range of {} channels, {} tokens and {} dropped ones: {} upper bounds and {} sums", low.size(), tokens,
           dropped, high.size(), sums.size());
  }
  range.dropped_ = dropped;
  if (tokens == 0) return range;
  range.tokens_ = tokens;
  range.low_ = std::move(low);
  range.high_ = std::move(high);
  range.sums_ = std::move(sums);
  return range;
}

}  // namespace bitloom
