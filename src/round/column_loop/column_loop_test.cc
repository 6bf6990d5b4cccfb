#include "round/column_loop/column_loop.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "linalg/cholesky.h"

namespace bitloom {
namespace {

std::vector<float> random_values(int64_t count, uint64_t stream) {
  Rng rng(21, stream);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

/// A correlated second moment with 1 % damping, and its factor U in double.
struct Problem {
  int64_t n;
  std::vector<double> h, u;

  explicit Problem(int64_t columns) : n(columns), h(static_cast<size_t>(n * n)), u() {
    const int64_t tokens = 2 * n;
    auto x = random_values(n * tokens, 1);
    for (size_t i = static_cast<size_t>(tokens); i < x.size(); ++i) x[i] += 0.8f * x[i - static_cast<size_t>(tokens)];
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t t = 0; t < tokens; ++t)
          sum += double{x[static_cast<size_t>(i * tokens + t)]} * double{x[static_cast<size_t>(j * tokens + t)]};
        h[static_cast<size_t>(i * n + j)] = sum / static_cast<double>(tokens);
      }
    }
    for (int64_t i = 0; i < n; ++i) h[static_cast<size_t>(i * n + i)] += 0.03;
    u = h;
    EXPECT_EQ(reversed_cholesky_reference(u.data(), n), n);
    invert_upper_reference(u.data(), n);
  }
  std::vector<float> factor() const { return {u.begin(), u.end()}; }
};

/// Rounds to multiples of a quarter of the group's largest magnitude, row by row.
class QuarterPolicy final : public ColumnPolicy {
 public:
  QuarterPolicy(int64_t group, int64_t rows) : group_(group), rows_(rows), step_(static_cast<size_t>(rows), 0.5f) {}
  int64_t group() const override { return group_; }
  void begin_group(int64_t begin, int64_t end, const float* columns) override {
    starts.push_back(begin);
    if (group_ == 1) return;
    for (int64_t r = 0; r < rows_; ++r) {
      float most = 0;
      for (int64_t c = 0; c < end - begin; ++c) most = std::max(most, std::abs(columns[c * rows_ + r]));
      step_[static_cast<size_t>(r)] = most / 4;
    }
  }
  void quantize_column(int64_t, const float* w, float* q) override {
    for (int64_t r = 0; r < rows_; ++r) {
      const float step = step_[static_cast<size_t>(r)];
      q[r] = std::nearbyint(w[r] / step) * step;
      chosen.push_back(q[r]);
    }
  }
  std::vector<int64_t> starts;
  std::vector<float> chosen;  // [columns, rows]

 private:
  int64_t group_, rows_;
  std::vector<float> step_;
};

// The blocked loop adds the same terms in another order, so a weight within rounding error of a tie may fall on the
// other side and change what follows in its row. Such rows are rare; the loss hardly notices them.
TEST(ColumnLoop, BlockedEqualsOneColumnAtATimeForAnyGroup) {
  constexpr int64_t kRows = 37;
  const Problem problem(400);
  const auto u = problem.factor();
  for (const int64_t group : {1, 16, 48, 100, 128, 300, 400}) {
    auto fast = random_values(problem.n * kRows, 2), slow = fast;
    std::vector<float> fast_errors(fast.size()), slow_errors(fast.size());
    QuarterPolicy fast_policy(group, kRows), slow_policy(group, kRows);
    const double loss = column_loop({problem.n, u.data()}, fast.data(), fast_errors.data(), kRows, fast_policy);
    const double expected =
        column_loop_reference({problem.n, u.data()}, slow.data(), slow_errors.data(), kRows, slow_policy);
    EXPECT_EQ(fast_policy.starts, slow_policy.starts) << group;
    int differing_rows = 0;
    for (int64_t r = 0; r < kRows; ++r) {
      bool same = true;
      for (int64_t c = 0; c < problem.n; ++c) {
        const auto at = static_cast<size_t>(c * kRows + r);
        same = same && std::abs(fast_policy.chosen[at] - slow_policy.chosen[at]) < 1e-3f;
      }
      differing_rows += same ? 0 : 1;
    }
    EXPECT_LE(differing_rows, 2) << group;
    EXPECT_NEAR(loss, expected, 0.01 * expected) << group;
  }
}

// sum e^2 = tr(E H_d E^T), E = W - Q against the original weights (papers' column-wise page, 1.3), in double to 1e-10.
TEST(ColumnLoop, LossIsTheWeightedSquaredError) {
  constexpr int64_t kRows = 9;
  const Problem problem(150);
  const auto u = problem.factor();
  const auto original = random_values(problem.n * kRows, 3);
  auto w = original;
  std::vector<float> errors(w.size());
  QuarterPolicy policy(1, kRows);
  const double loss = column_loop({problem.n, u.data()}, w.data(), errors.data(), kRows, policy);
  double expected = 0;
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t i = 0; i < problem.n; ++i) {
      for (int64_t j = 0; j < problem.n; ++j) {
        const auto a = static_cast<size_t>(i * kRows + r), b = static_cast<size_t>(j * kRows + r);
        expected += (double{original[a]} - double{policy.chosen[a]}) *
                    problem.h[static_cast<size_t>(i * problem.n + j)] *
                    (double{original[b]} - double{policy.chosen[b]});
      }
    }
  }
  // fp32 weights and factor: each of the 150 updates of a weight rounds once, 150 * 6e-8 relative, twice for the
  // square.
  EXPECT_NEAR(loss, expected, 3e-5 * expected);
}

// The same comparison with a correction, small enough not to blow the weights up.
TEST(ColumnLoop, BlockedEqualsOneColumnAtATimeWithACorrection) {
  constexpr int64_t kRows = 37;
  const Problem problem(400);
  const auto u = problem.factor();
  auto p = random_values(problem.n * problem.n, 4);
  for (float& value : p) value *= 0.005f;
  const ColumnFeedback feedback{problem.n, u.data(), p.data()};
  for (const int64_t group : {1, 48, 300}) {
    auto fast = random_values(problem.n * kRows, 2), slow = fast;
    std::vector<float> fast_errors(fast.size()), slow_errors(fast.size());
    QuarterPolicy fast_policy(group, kRows), slow_policy(group, kRows);
    const double loss = column_loop(feedback, fast.data(), fast_errors.data(), kRows, fast_policy);
    const double expected = column_loop_reference(feedback, slow.data(), slow_errors.data(), kRows, slow_policy);
    int same = 0;
    for (int64_t r = 0; r < kRows; ++r) {
      int64_t c = 0;
      while (c < problem.n && std::abs(fast_policy.chosen[static_cast<size_t>(c * kRows + r)] -
                                       slow_policy.chosen[static_cast<size_t>(c * kRows + r)]) < 1e-3f) {
        ++c;
      }
      same += c == problem.n ? 1 : 0;
    }
    EXPECT_GE(same, kRows - 2) << group;
    EXPECT_NEAR(loss, expected, 0.01 * expected) << group;
  }
}

// P = 0 is no correction, to the last bit.
TEST(ColumnLoop, ACorrectionOfZeroChangesNoBit) {
  constexpr int64_t kRows = 20;
  const Problem problem(300);
  const auto u = problem.factor();
  const std::vector<float> zero(u.size());
  auto plain = random_values(problem.n * kRows, 2), corrected = plain;
  std::vector<float> plain_errors(plain.size()), corrected_errors(plain.size());
  QuarterPolicy a(16, kRows), b(16, kRows);
  column_loop({problem.n, u.data(), nullptr}, plain.data(), plain_errors.data(), kRows, a);
  column_loop({problem.n, u.data(), zero.data()}, corrected.data(), corrected_errors.data(), kRows, b);
  EXPECT_EQ(a.chosen, b.chosen);
  EXPECT_EQ(plain_errors, corrected_errors);
}

// Left-looking (papers' column-wise page, 1.3): with H_d = R R^T, R = U^-1, column j becomes
// w_j + (sum_{i<j} E_i R_ij) / R_jj, E = W - Q against the original weights. In double, the same values; a weight may
// differ only where fp32 and double fall on different sides of a tie, which the margin rules out.
TEST(ColumnLoop, LeftLookingFormMakesTheSameChoices) {
  constexpr size_t kRows = 6, kN = 100;
  const Problem problem(kN);
  std::vector<double> r = problem.h;
  ASSERT_EQ(reversed_cholesky_reference(r.data(), kN), int64_t{kN});
  const auto original = random_values(kN * kRows, 14);
  auto w = original;
  std::vector<float> errors(w.size());
  QuarterPolicy policy(1, kRows);  // multiples of a half
  const auto u = problem.factor();
  column_loop({kN, u.data()}, w.data(), errors.data(), kRows, policy);
  double margin = 1;
  for (size_t row = 0; row < kRows; ++row) {
    std::vector<double> e(kN);
    for (size_t j = 0; j < kN; ++j) {
      double sum = 0;
      for (size_t i = 0; i < j; ++i) sum += e[i] * r[i * kN + j];
      const double value = double{original[j * kRows + row]} + sum / r[j * kN + j];
      const double q = std::nearbyint(2 * value) / 2;
      margin = std::min(margin, std::abs(std::abs(2 * value - std::floor(2 * value)) - 0.5));
      EXPECT_EQ(policy.chosen[j * kRows + row], static_cast<float>(q)) << row << " " << j;
      e[j] = double{original[j * kRows + row]} - q;
    }
  }
  EXPECT_GT(margin, 1e-4);
}

TEST(ColumnLoop, ThreeColumnsWithACorrectionByHand) {
  // U = identity but U_01 = 0.5; P_01 = 0.25, P_02 = -0.5, P_12 = 2. w = (0.8, 0.3, 0.1), step 1.
  // q_0 = 1, e_0 = -0.2. w~_1 = 0.3 + 0.1 + 0.25 * 0.8 = 0.6 -> 1, e_1 = -0.4.
  // w~_2 = 0.1 - 0.5 * 0.8 + 2 * 0.6 = 0.9 -> 1, e_2 = -0.1: with q_0 = q_1 = 1 it would be 0.1 - 0.5 + 2 = 1.6.
  const float u[] = {1, 0.5f, 0, 0, 1, 0, 0, 0, 1}, p[] = {7, 0.25f, -0.5f, 7, 7, 2, 7, 7, 7};
  class Round final : public ColumnPolicy {
    int64_t group() const override { return 1; }
    void begin_group(int64_t, int64_t, const float*) override {}
    void quantize_column(int64_t, const float* column, float* q) override { *q = std::nearbyint(*column); }
  } round;
  for (const bool reference : {false, true}) {
    std::vector<float> w = {0.8f, 0.3f, 0.1f}, errors(3);
    const double loss = reference ? column_loop_reference({3, u, p}, w.data(), errors.data(), 1, round)
                                  : column_loop({3, u, p}, w.data(), errors.data(), 1, round);
    EXPECT_NEAR(w[1], 0.6f, 1e-6);
    EXPECT_NEAR(w[2], 0.9f, 1e-6);
    EXPECT_NEAR(errors[2], -0.1f, 1e-6);
    EXPECT_NEAR(loss, 0.04 + 0.16 + 0.01, 1e-6);
  }
}

TEST(ColumnLoop, TwoColumnsByHand) {
  // U = [[1, 0.5], [0, 2]]. w = (0.7, 0.2), step 1: q_0 = 1, e_0 = -0.3; w_1 = 0.2 + 0.15 = 0.35 -> q_1 = 0, e_1 =
  // 0.175.
  const float u[] = {1, 0.5f, 0, 2};
  std::vector<float> w = {0.7f, 0.2f}, errors(2);
  class Round final : public ColumnPolicy {
    int64_t group() const override { return 1; }
    void begin_group(int64_t, int64_t, const float*) override {}
    void quantize_column(int64_t, const float* column, float* q) override { *q = std::nearbyint(*column); }
  } policy;
  const double loss = column_loop({2, u}, w.data(), errors.data(), 1, policy);
  EXPECT_FLOAT_EQ(errors[0], -0.3f);
  EXPECT_FLOAT_EQ(w[1], 0.35f);
  EXPECT_FLOAT_EQ(errors[1], 0.175f);
  EXPECT_NEAR(loss, 0.09 + 0.030625, 1e-7);
}

}  // namespace
}  // namespace bitloom
