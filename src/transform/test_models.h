#pragma once
// For tests only: models of every architecture, and whether two checkpoints compute the same function.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/test_data.h"
#include "forward/decoder.h"
#include "forward/golden_models.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom::testing {

inline std::shared_ptr<const Checkpoint> open_golden(const std::string& model) {
  return Checkpoint::open(golden("forward/" + model));
}

/// Trained models: the demo's, and SmolLM2 where it has been fetched.
inline std::vector<std::shared_ptr<const Checkpoint>> trained_models() {
  std::vector<std::shared_ptr<const Checkpoint>> models = {Checkpoint::open("assets/demo")};
  if (const std::string path = smollm2_path(); !path.empty()) models.push_back(Checkpoint::open(path));
  return models;
}

/// Logits of one sequence of arbitrary tokens.
inline std::vector<float> logits(const std::shared_ptr<const Checkpoint>& model, ThreadPool& threads,
                                 int64_t length = 40) {
  Decoder decoder(model, threads);
  const int64_t vocab = decoder.graph().vocab_size;
  std::vector<int32_t> tokens(static_cast<size_t>(length));
  for (int64_t i = 0; i < length; ++i) tokens[static_cast<size_t>(i)] = static_cast<int32_t>((37 * i * i + 5) % vocab);
  const auto hidden = decoder.forward(tokens, 1, length);
  std::vector<float> out(static_cast<size_t>(length * vocab));
  decoder.logits(hidden, length, out.data());
  return out;
}

/// max |a - b| as a share of the range of b; NaN is infinitely far.
inline double difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  const auto [low, high] = std::minmax_element(b.begin(), b.end());
  double worst = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double distance = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(distance <= worst)) worst = std::isnan(distance) ? INFINITY : distance;
  }
  return worst / static_cast<double>(*high - *low);
}

/// The same function, rounded otherwise. A rewrite rounds every weight it changes once to fp32, and so the products
/// with it: relative errors of at most u = 2^-24 each, and the activations between it are rounded differently, u again.
/// A sum of n such products is wrong by at most about (n + 2) u of the sum of their magnitudes and typically by sqrt(n)
/// u (n <= 128 here: 7e-7). A dozen or two of such sums follow each other on the way to the logits: 1e-5 of their range
/// is three times what they add up to if each error passes on in full and they add like independent numbers.
constexpr double kSameFunction = 1e-5;

/// Numbers exp(uniform in [-spread, spread]).
inline std::vector<float> random_scales(int64_t count, double spread, uint64_t stream) {
  Rng rng(7, stream);
  std::vector<float> s(static_cast<size_t>(count));
  for (float& value : s) value = static_cast<float>(std::exp(spread * (2.0 * rng.uniform_double() - 1.0)));
  return s;
}

}  // namespace bitloom::testing
