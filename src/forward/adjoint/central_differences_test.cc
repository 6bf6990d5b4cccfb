// The backward pass against central differences of a forward pass in fp64 that shares no code with it.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "base/rng.h"
#include "forward/adjoint/model_gradient.h"
#include "forward/adjoint/reference_forward.h"
#include "forward/adjoint/test_gradients.h"
#include "forward/golden_models.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

constexpr int64_t kLength = 24;

struct Gradients : testing::SummedGradients {
  std::vector<float> first;  // of what the first block reads
  double loss = 0;
};

Gradients gradients_of(const Model& model, const std::vector<int32_t>& tokens) {
  Gradients all;
  std::vector<int32_t> labels(tokens.begin() + 1, tokens.end());
  labels.push_back(-1);
  ThreadPool threads(1);
  const auto keep_first = [&](int block, std::span<const float> gradient) {
    if (block == 0) all.first.assign(gradient.begin(), gradient.end());
  };
  all.loss = model_gradient(model, tokens, 1, kLength, cross_entropy(labels), all.sink(model), keep_first, threads);
  return all;
}

/// A direction of +-1, and the derivative along it by a gradient.
template <typename Values>
class Direction {
 public:
  Direction(const Values& gradient, uint64_t stream) {
    Rng rng(23, stream);
    for (const auto g : gradient) {
      signs_.push_back(rng.next_u32() & 1 ? 1.0 : -1.0);
      along_ += signs_.back() * static_cast<double>(g);
      squares_ += static_cast<double>(g) * static_cast<double>(g);
    }
  }
  double sign(size_t i) const { return signs_[i]; }
  double along() const { return along_; }
  /// Of the derivative along directions like this one the root mean square is |g|. 2^-16: see torch_gradients_test.cc.
  double tolerance() const { return std::max(1e-4 * std::sqrt(squares_), 0x1p-16); }

 private:
  std::vector<double> signs_;
  double along_ = 0, squares_ = 0;
};

// The step: differences of losses below 1000 are exact to 1e-13 / 1e-6, and what is left out is of order 1e-12.
constexpr double kStep = 1e-6;

class CentralDifferences : public ::testing::TestWithParam<std::string> {};

TEST_P(CentralDifferences, AreTheGradient) {
  const auto model = Checkpoint::open(testing::golden("forward/" + GetParam()));
  const Graph& graph = model->graph();
  std::vector<int32_t> tokens;
  Rng rng(4, 2);
  for (int64_t t = 0; t < kLength; ++t) tokens.push_back(static_cast<int32_t>(rng.next_u32() % graph.vocab_size));
  Gradients all = gradients_of(*model, tokens);
  testing::ReferenceForward reference(*model);
  const double loss = reference.loss(tokens);
  ASSERT_NEAR(all.loss, loss, 1e-5 * loss);
  uint64_t stream = 0;
  const auto compare = [&](const std::string& name, const std::vector<double>& gradient, std::vector<double>& values) {
    const Direction direction(gradient, ++stream);
    ASSERT_EQ(gradient.size(), values.size()) << name;
    const std::vector<double> before = values;
    double losses[2];
    for (const int side : {0, 1}) {
      for (size_t i = 0; i < values.size(); ++i)
        values[i] = before[i] + (side == 0 ? -kStep : kStep) * direction.sign(i);
      losses[side] = reference.loss(tokens);
    }
    values = before;
    EXPECT_NEAR((losses[1] - losses[0]) / (2 * kStep), direction.along(), direction.tolerance()) << name;
  };
  for (const auto& [name, weight] : all.weights) {
    if (graph.tied_head && name == graph.head.weight) continue;  // below
    compare(name, weight.second, reference.values(*weight.first));
  }
  ASSERT_TRUE(all.tables.contains(graph.embedding));
  for (auto& [name, gradient] : all.tables) {
    if (graph.tied_head && name == graph.head.weight) {
      const std::vector<double>& of_head = all.weights.at(name).second;
      std::transform(gradient.begin(), gradient.end(), of_head.begin(), gradient.begin(), std::plus<>());
    }
    compare(name, gradient, reference.values(name));
  }
  for (const auto& [name, gradient] : all.vectors) compare(name, gradient, reference.values(name));
  const Direction direction(all.first, 0);
  double losses[2];
  for (const int side : {0, 1}) {
    testing::Rows moved = reference.embedded(tokens);
    for (size_t i = 0; i < all.first.size(); ++i) {
      const auto width = static_cast<size_t>(graph.hidden);
      moved[i / width][i % width] += (side == 0 ? -kStep : kStep) * direction.sign(i);
    }
    losses[side] = reference.loss(tokens, &moved);
  }
  EXPECT_NEAR((losses[1] - losses[0]) / (2 * kStep), direction.along(), direction.tolerance());
}

INSTANTIATE_TEST_SUITE_P(Models, CentralDifferences, ::testing::ValuesIn(testing::all_golden_models()),
                         [](const auto& model) { return testing::test_name(model.param); });

}  // namespace
}  // namespace bitloom
