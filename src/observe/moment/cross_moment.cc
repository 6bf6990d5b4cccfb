#include "observe/moment/cross_moment.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/error.h"
#include "linalg/gemm.h"
#include "observe/finite_tokens.h"

namespace bitloom {
namespace {

constexpr int64_t kTile = 256;
constexpr int64_t kPanelTokens = 1024;

/// out [tokens, channels] = f - x.
void subtract(const float* f, const float* x, int64_t tokens, int64_t channels, int64_t stride, float* out,
              ThreadPool& threads) {
  threads.parallel_for(tokens, [&](int64_t t) {
    for (int64_t c = 0; c < channels; ++c) out[t * channels + c] = f[t * stride + c] - x[t * stride + c];
  });
}

}  // namespace

CrossMoment::CrossMoment(int64_t channels) : channels_(channels), sums_(static_cast<size_t>(channels * channels)) {}

// sum(i, j) += (F - X)_i^T X_j for tiles of channels i, j and panels of tokens.
void CrossMoment::add(const float* f, const float* x, int64_t tokens, int64_t stride, ThreadPool& threads) {
  std::vector<char> finite = finite_tokens(x, tokens, channels_, stride, threads);
  const std::vector<char> finite_f = finite_tokens(f, tokens, channels_, stride, threads);
  for (size_t t = 0; t < finite.size(); ++t) finite[t] = finite[t] && finite_f[t];
  std::unique_ptr<float[]> difference(new float[static_cast<size_t>(std::min(tokens, kPanelTokens) * channels_)]);
  const int64_t edge = (channels_ + kTile - 1) / kTile;
  for_each_run(finite, kPanelTokens, [&](int64_t begin, int64_t end) {
    subtract(f + begin * stride, x + begin * stride, end - begin, channels_, stride, difference.get(), threads);
    threads.parallel_for(edge * edge, [&](int64_t tile) {
      const int64_t i = tile / edge * kTile, j = tile % edge * kTile;
      sgemm(Transpose::kYes, Transpose::kNo, std::min(kTile, channels_ - i), std::min(kTile, channels_ - j),
            end - begin, 1.0f, difference.get() + i, channels_, x + begin * stride + j, stride, 1.0f,
            sums_.data() + i * channels_ + j, channels_);
    });
    tokens_ += end - begin;
  });
}

void CrossMoment::merge(const CrossMoment& other) {
  if (other.channels_ != channels_) {
    fail(ErrorKind::kFailed, "cross moments of {} and {} channels cannot be merged", channels_, other.channels_);
  }
  for (size_t i = 0; i < sums_.size(); ++i) sums_[i] += other.sums_[i];
  tokens_ += other.tokens_;
}

void CrossMoment::copy_to(float* out, ThreadPool& threads) const {
  const double tokens = static_cast<double>(std::max<int64_t>(tokens_, 1));
  threads.parallel_for(channels_, [&](int64_t i) {
    for (int64_t at = i * channels_; at < (i + 1) * channels_; ++at) {
      out[at] = static_cast<float>(static_cast<double>(sums_[static_cast<size_t>(at)]) / tokens);
    }
  });
}

CrossMoment CrossMoment::restore(int64_t channels, int64_t tokens, std::vector<float> sums) {
  if (static_cast<int64_t>(sums.size()) != channels * channels || tokens < 0) {
    refuse("cross moment of {} channels and {} tokens: {} values, expected {}", channels, tokens, sums.size(),
           channels * channels);
  }
  CrossMoment moment(0);
  moment.channels_ = channels;
  moment.tokens_ = tokens;
  moment.sums_ = std::move(sums);
  return moment;
}

}  // namespace bitloom
