#pragma once
// For tests only: models that are a function of position and context, and the slow definitions in long double.

#include <cmath>
#include <functional>
#include <span>
#include <vector>

#include "base/rng.h"
#include "eval/logits/logits_source.h"
#include "eval/windows.h"

namespace bitloom::testing {

/// A model whose logits at a position are a function of the tokens up to it.
class FakeSource final : public LogitsSource {
 public:
  using Row = std::function<void(std::span<const int32_t> tokens, std::span<float> logits)>;
  FakeSource(int64_t vocab, Row row) : vocab_(vocab), row_(std::move(row)) {}

  int64_t vocab_size() const override { return vocab_; }
  int64_t max_positions() const override { return max_positions_; }
  void set_max_positions(int64_t count) { max_positions_ = count; }
  void run(std::span<const int32_t> tokens) override { tokens_.assign(tokens.begin(), tokens.end()); }
  void logits(int64_t first, int64_t count, float* out) override {
    for (int64_t i = 0; i < count; ++i) {
      const std::span<const int32_t> seen(tokens_.data(), static_cast<size_t>(first + i + 1));
      row_(seen, {out + i * vocab_, static_cast<size_t>(vocab_)});
    }
  }

 private:
  int64_t vocab_, max_positions_ = 0;
  Row row_;
  std::vector<int32_t> tokens_;
};

/// Normal logits of deviation `spread`, a function of `seed`, the last token and the position; `noise` adds a second
/// draw that depends on `variant`, so that two models can be near each other.
inline FakeSource random_source(int64_t vocab, double spread, double noise = 0, uint64_t variant = 0) {
  return {vocab, [=](std::span<const int32_t> tokens, std::span<float> logits) {
            const uint64_t at = tokens.size() * 100003 + static_cast<uint64_t>(tokens.back());
            Rng rng(at, 1), other(at, 2 + variant);
            for (float& x : logits) x = static_cast<float>(spread * rng.normal() + noise * other.normal());
          }};
}

/// A model whose logits are another's and noise that depends on token and position, as rounding weights makes it.
class NoisySource final : public LogitsSource {
 public:
  NoisySource(LogitsSource& model, double noise) : model_(model), noise_(noise) {}
  int64_t vocab_size() const override { return model_.vocab_size(); }
  void run(std::span<const int32_t> tokens) override { model_.run(tokens); }
  void logits(int64_t first, int64_t count, float* out) override {
    model_.logits(first, count, out);
    for (int64_t i = 0; i < count; ++i) {
      Rng rng(static_cast<uint64_t>(first + i), 21);
      for (int64_t v = 0; v < vocab_size(); ++v) out[i * vocab_size() + v] += static_cast<float>(noise_ * rng.normal());
    }
  }

 private:
  LogitsSource& model_;
  double noise_;
};

/// `count` windows of `length` random tokens, scored from `first_scored` on.
inline TextWindows random_windows(int64_t count, int64_t length, int64_t first_scored, int64_t vocab) {
  TextWindows out;
  Rng rng(7, 7);
  for (int64_t w = 0; w < count; ++w) {
    TextWindows::Window window;
    for (int64_t i = 0; i < length; ++i)
      window.tokens.push_back(static_cast<int32_t>(rng.next_u32() % static_cast<uint64_t>(vocab)));
    window.first_scored = first_scored;
    out.scored_tokens += window.scored();
    out.windows.push_back(window);
  }
  out.text_tokens = count * length;
  out.description = "random windows";
  return out;
}

/// log softmax, term by term in long double.
inline std::vector<long double> slow_log_softmax(std::span<const float> row) {
  long double top = row[0], sum = 0;
  for (const float x : row) top = std::max(top, static_cast<long double>(x));
  for (const float x : row) sum += std::exp(static_cast<long double>(x) - top);
  std::vector<long double> out;
  for (const float x : row) out.push_back(static_cast<long double>(x) - top - std::log(sum));
  return out;
}

/// sum_v p_v (log p_v - log q_v), and the same with absolute values in `absolute`.
inline long double slow_kl(std::span<const float> p, std::span<const float> q, long double* absolute = nullptr) {
  const std::vector<long double> log_p = slow_log_softmax(p), log_q = slow_log_softmax(q);
  long double sum = 0, size = 0;
  for (size_t v = 0; v < p.size(); ++v) {
    sum += std::exp(log_p[v]) * (log_p[v] - log_q[v]);
    size += std::exp(log_p[v]) * std::abs(log_p[v] - log_q[v]);
  }
  if (absolute != nullptr) *absolute = size;
  return sum;
}

}  // namespace bitloom::testing
