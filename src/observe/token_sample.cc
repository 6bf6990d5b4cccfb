#include "observe/token_sample.h"

#include <algorithm>
#include <cmath>

namespace bitloom {
namespace {

/// MurmurHash3's finaliser.
uint64_t mixed(uint64_t hash) {
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
  return hash ^ (hash >> 33);
}

/// NaN or infinite where a value is.
double square_of(const float* x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += double{x[i]} * double{x[i]};
  return sum;
}

}  // namespace

TokenSample::TokenSample(int64_t channels, int64_t most) : channels_(channels), most_(most) {}

void TokenSample::add(const float* x, std::span<const int64_t> numbers) {
  for (const int64_t number : numbers) add_row(x, number), x += channels_;
}

void TokenSample::add(const float* x, int64_t tokens, int64_t first) {
  for (int64_t t = 0; t < tokens; ++t) add_row(x + t * channels_, first + t);
}

void TokenSample::add_row(const float* row, int64_t number) {
  const double square = square_of(row, channels_);
  if (!(std::isfinite(square) && square > 0)) return;
  const uint64_t hash = mixed(0x9e3779b97f4a7c15u * (static_cast<uint64_t>(number) + 1));
  const double u = static_cast<double>((hash >> 11) + 1) * 0x1p-53;
  Token token{square / u, square, number, static_cast<int64_t>(kept_.size())};
  if (token.place <= most_) {
    if (values_.empty()) values_.reserve(static_cast<size_t>((most_ + 1) * channels_));
    values_.insert(values_.end(), row, row + channels_);
  } else {
    if (!(token < kept_.front())) return;
    std::pop_heap(kept_.begin(), kept_.end());
    token.place = kept_.back().place;
    kept_.pop_back();
    std::copy(row, row + channels_, values_.begin() + token.place * channels_);
  }
  kept_.push_back(token);
  std::push_heap(kept_.begin(), kept_.end());
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

std::vector<int64_t> TokenSample::kept_numbers() const {
  std::vector<int64_t> numbers;
  for (const Token& token : in_order()) numbers.push_back(token.number);
  return numbers;
}

std::vector<double> TokenSample::counts() const {
  const std::vector<Token> order = in_order();
  const auto count = static_cast<size_t>(tokens());
  const double tau = order.size() > count ? order.back().priority : 0;
  std::vector<double> counts(count);
  for (size_t i = 0; i < count; ++i) counts[i] = std::max(1.0, tau / order[i].square);
  return counts;
}

}  // namespace bitloom
