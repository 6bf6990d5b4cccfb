#include "observe/token_sample.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace bitloom {
namespace {

/// MurmurHash3's finaliser.
uint64_t mixed(uint64_t hash) {
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
  return hash ^ (hash >> 33);
}

/// FNV-1a over the bits of the values.
uint64_t hash_of(const float* x, int64_t count) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (int64_t i = 0; i < count; ++i) hash = (hash ^ std::bit_cast<uint32_t>(x[i])) * 0x100000001b3u;
  return hash;
}

/// NaN or infinite where a value is.
double square_of(const float* x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += double{x[i]} * double{x[i]};
  return sum;
}

}  // namespace

TokenSample::TokenSample(int64_t channels, int64_t most) : channels_(channels), most_(most) {}

void TokenSample::add(const float* x, int64_t tokens) {
  for (const float* row = x; row < x + tokens * channels_; row += channels_) {
    const double square = square_of(row, channels_);
    if (!(std::isfinite(square) && square > 0)) continue;
    const uint64_t content = hash_of(row, channels_);
    const uint64_t hash = mixed(content + 0x9e3779b97f4a7c15u * static_cast<uint64_t>(seen_[content]++));
    const double u = static_cast<double>((hash >> 11) + 1) * 0x1p-53;
    Token token{square / u, square, static_cast<int64_t>(kept_.size())};
    if (token.place <= most_) {
      values_.insert(values_.end(), row, row + channels_);
    } else {
      if (!(token < kept_.front())) continue;
      std::pop_heap(kept_.begin(), kept_.end());
      token.place = kept_.back().place;
      kept_.pop_back();
      std::copy(row, row + channels_, values_.begin() + token.place * channels_);
    }
    kept_.push_back(token);
    std::push_heap(kept_.begin(), kept_.end());
  }
}

int64_t TokenSample::tokens() const { return std::min(most_, static_cast<int64_t>(kept_.size())); }

std::vector<TokenSample::Token> TokenSample::in_order() const {
  std::vector<Token> order = kept_;
  std::sort(order.begin(), order.end());
  return order;
}

std::vector<float> TokenSample::rows_of(int64_t count) const {
  std::vector<float> rows;
  rows.reserve(static_cast<size_t>(count * channels_));
  for (const Token& token : in_order()) {
    if (count-- == 0) break;
    const auto row = values_.begin() + token.place * channels_;
    rows.insert(rows.end(), row, row + channels_);
  }
  return rows;
}

std::vector<float> TokenSample::rows() const { return rows_of(tokens()); }

std::vector<float> TokenSample::kept() const { return rows_of(static_cast<int64_t>(kept_.size())); }

std::vector<double> TokenSample::counts() const {
  const std::vector<Token> order = in_order();
  const auto count = static_cast<size_t>(tokens());
  const double tau = order.size() > count ? order.back().priority : 0;
  std::vector<double> counts(count);
  for (size_t i = 0; i < count; ++i) counts[i] = std::max(1.0, tau / order[i].square);
  return counts;
}

}  // namespace bitloom
