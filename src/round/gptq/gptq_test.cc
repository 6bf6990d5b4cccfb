#include "round/gptq/gptq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "round/nearest/nearest.h"
#include "round/output_error.h"

namespace bitloom {
namespace {

std::vector<float> random_values(int64_t count, uint64_t stream) {
  Rng rng(23, stream);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

constexpr int64_t kRows = 70, kCols = 192;

DenseMatrix test_matrix() { return DenseMatrix(kRows, kCols, random_values(kRows * kCols, 1)); }

/// Correlated channels of unequal power.
SecondMoment correlated(ThreadPool& threads, int64_t tokens = 600) {
  auto x = random_values(tokens * kCols, 2);
  for (int64_t t = 0; t < tokens; ++t) {
    float* row = x.data() + t * kCols;
    for (int64_t c = 1; c < kCols; ++c) row[c] = (row[c] + row[c - 1]) * (0.5f + static_cast<float>(c % 7) / 4);
    for (int64_t c = 0; c < kCols; ++c) row[c] = std::tanh(row[c]);
  }
  SecondMoment moment(kCols);
  moment.add(x.data(), tokens, kCols, threads);
  return moment;
}

/// One token per channel, no two channels together: H is diagonal.
SecondMoment diagonal(ThreadPool& threads) {
  std::vector<float> x(kCols * kCols);
  for (int64_t c = 0; c < kCols; ++c) x[static_cast<size_t>(c * kCols + c)] = 1.0f + static_cast<float>(c % 5);
  SecondMoment moment(kCols);
  moment.add(x.data(), kCols, kCols, threads);
  return moment;
}

/// Columns in their own order, 1 % damping.
GptqFactor natural_factor(const SecondMoment& moment, ThreadPool& threads) {
  GptqRounding options;
  options.order = ColumnOrder::kNatural;
  return make_gptq_factor(moment, nullptr, options, 0, threads);
}

void expect_same_bytes(const StoredMatrix& a, const StoredMatrix& b, const std::string& what) {
  ASSERT_EQ(a.parts().size(), b.parts().size());
  for (size_t i = 0; i < a.parts().size(); ++i) {
    const auto& x = a.parts()[i].bytes;
    const auto& y = b.parts()[i].bytes;
    ASSERT_EQ(x.size(), y.size()) << what;
    EXPECT_EQ(std::memcmp(x.data(), y.data(), x.size()), 0) << what << a.parts()[i].suffix;
  }
}

/// tr((W - Q) H (W - Q)^T) without damping, by the definition.
double reference_output_error(const RowSource& w, const RowSource& q, const SecondMoment& moment) {
  const auto a = w.decode_all(), b = q.decode_all();
  double total = 0;
  for (int64_t r = 0; r < w.rows(); ++r) {
    for (int64_t i = 0; i < w.cols(); ++i) {
      const auto at = static_cast<size_t>(r * w.cols());
      const double ei = double{a[at + static_cast<size_t>(i)]} - double{b[at + static_cast<size_t>(i)]};
      for (int64_t j = 0; j < w.cols(); ++j) {
        total +=
            ei * moment.mean(i, j) * (double{a[at + static_cast<size_t>(j)]} - double{b[at + static_cast<size_t>(j)]});
      }
    }
  }
  return total;
}

double squared_norm(const RowSource& w) {
  double sum = 0;
  for (const float value : w.decode_all()) sum += double{value} * double{value};
  return sum;
}

constexpr const char* kSpecs[] = {"int4-g32",
                                  "int3-g64-asym",
                                  "int2-g48",
                                  "e2m1-g32",
                                  "mxfp4",
                                  "nvfp4",
                                  "nf4-g64",
                                  "int4-row",
                                  "int4-tensor",
                                  "int4-block16x64",
                                  "e2m1-g32-m2floor",
                                  "int3-g32-mse",
                                  "nvfp4-mse",
                                  "iq4nl-g32-mse",
                                  "int3-g32-asym-mse2.4"};

// With a diagonal H nothing is fed forward, so error feedback must equal nearest rounding byte for byte.
TEST(Feedback, DiagonalMomentEqualsNearestForEverySpec) {
  ThreadPool threads(2);
  const DenseMatrix w = test_matrix();
  const GptqFactor factor = natural_factor(diagonal(threads), threads);
  const std::vector<float> costs = factor.error_costs();
  for (const char* text : kSpecs) {
    const GridTarget target = parse_grid_target(text);
    const auto nearest =
        quantize_nearest("w", w, target, threads, nullptr, target.search.range.searches() ? costs.data() : nullptr);
    for (const bool static_groups : {false, true}) {
      expect_same_bytes(*quantize_gptq("w", w, parse_target(text), factor, static_groups, threads), *nearest, text);
    }
  }
}

TEST(Feedback, OutputErrorFallsBelowNearestForEverySpec) {
  ThreadPool threads(2);
  const DenseMatrix w = test_matrix();
  const SecondMoment moment = correlated(threads);
  for (const ColumnOrder order : {ColumnOrder::kNatural, ColumnOrder::kActivation, ColumnOrder::kGroupAware}) {
    for (const char* text : kSpecs) {
      const GridTarget target = parse_grid_target(text);
      GptqRounding options;
      options.order = order;
      const int64_t group =
          target.storage.granularity.kind == Granularity::Kind::kGroup ? target.storage.granularity.group : 0;
      const GptqFactor factor = make_gptq_factor(moment, nullptr, options, group, threads);
      GptqReport report;
      const auto q = quantize_gptq("w", w, parse_target(text), factor, false, threads, &report);
      const double fed = output_error(w, *q, moment, threads),
                   rounded = output_error(w, *quantize_nearest("w", w, target, threads), moment, threads);
      EXPECT_LT(fed, 0.9 * rounded) << text << " order " << static_cast<int>(order);
      // fp32 in the factor and the loop: 1e-3 of the damped error is generous.
      const double damped = fed + factor.lambda() * report.rounding.weight_error * squared_norm(w);
      EXPECT_NEAR(report.loss, damped, 1e-3 * damped) << text;
      q->check_values("w");
    }
  }
}

// Each of the 192^2 terms of a row is an fp32 product added up in fp32 over tiles of 192: within 192 * 6e-8 of the sum
// of magnitudes, which lies below 4 times the sum here.
TEST(OutputError, IsTheDefinitionAndOneOfZeroIsTheEnergy) {
  ThreadPool threads(2);
  const DenseMatrix w = test_matrix(), zero(kRows, kCols, std::vector<float>(kRows * kCols));
  const SecondMoment moment = correlated(threads);
  const auto q = quantize_nearest("w", w, parse_grid_target("int3-g64-asym"), threads);
  const double expected = reference_output_error(w, *q, moment);
  EXPECT_NEAR(output_error(w, *q, moment, threads), expected, 5e-5 * expected);
  EXPECT_EQ(output_energy(w, moment, threads), output_error(w, zero, moment, threads));
  ThreadPool three(3);
  EXPECT_EQ(output_energy(w, moment, three), output_energy(w, moment, threads));
  EXPECT_THROW(output_energy(w, SecondMoment(3), threads), Error);
  EXPECT_THROW(output_error(w, DenseMatrix(1, kCols, std::vector<float>(kCols)), moment, threads), Error);
}

// E1My is the narrow symmetric integer grid in another encoding (papers' floating-point page, 0.1).
TEST(Feedback, E1MyEqualsNarrowIntegers) {
  ThreadPool threads(2);
  const DenseMatrix w = test_matrix();
  const GptqFactor factor = natural_factor(correlated(threads), threads);
  const auto integers =
      quantize_gptq("w", w, parse_target("int4-narrow-row-f32"), factor, false, threads)->decode_all();
  const auto floats = quantize_gptq("w", w, parse_target("e1m2-row-f32"), factor, false, threads)->decode_all();
  // Scales differ by the power of two between the grids' units, so values agree exactly.
  for (size_t i = 0; i < integers.size(); ++i) ASSERT_EQ(integers[i], floats[i]) << i;
}

TEST(Feedback, SameBytesForAnyNumberOfThreads) {
  ThreadPool one(1), three(3);
  const DenseMatrix w(600, kCols, random_values(600 * kCols, 7));
  const RoundingTarget target = parse_target("int3-g32-asym");
  const GptqFactor a = natural_factor(correlated(one), one), b = natural_factor(correlated(three), three);
  EXPECT_EQ(a.u, b.u);
  expect_same_bytes(*quantize_gptq("w", w, target, a, false, one), *quantize_gptq("w", w, target, b, false, three), "");
}

/// What later columns cannot compensate.
TEST(GptqFactor, ErrorCostsAreConditionalVariances) {
  ThreadPool threads(1);
  const float tokens[] = {2, 1, 0, 1, 2, 0};
  SecondMoment moment(3);
  moment.add(tokens, 2, 3, threads);
  GptqRounding options;
  options.damping = 0;
  options.order = ColumnOrder::kNatural;
  const std::vector<float> costs = make_gptq_factor(moment, nullptr, options, 0, threads).error_costs();
  // H = [2.5 2; 2 2.5], and a dead third column: the first costs 2.5 - 2^2 / 2.5.
  EXPECT_NEAR(costs[0], 0.9f, 1e-5f);
  EXPECT_NEAR(costs[1], 2.5f, 1e-5f);
  EXPECT_EQ(costs[2], 0);
}

TEST(Feedback, DeadColumnsBecomeZeroAndAreNamed) {
  ThreadPool threads(1);
  auto x = random_values(400 * kCols, 5);
  for (int64_t t = 0; t < 400; ++t) x[static_cast<size_t>(t * kCols + 7)] = x[static_cast<size_t>(t * kCols + 100)] = 0;
  SecondMoment moment(kCols);
  moment.add(x.data(), 400, kCols, threads);
  const GptqFactor factor = natural_factor(moment, threads);
  EXPECT_THAT(factor.dead_columns, testing::ElementsAre(7, 100));
  const auto q = quantize_gptq("w", test_matrix(), parse_target("int4-g32"), factor, false, threads)->decode_all();
  for (int64_t r = 0; r < kRows; ++r) {
    EXPECT_EQ(q[static_cast<size_t>(r * kCols + 7)], 0.0f);
    EXPECT_EQ(q[static_cast<size_t>(r * kCols + 100)], 0.0f);
  }
}

TEST(Feedback, DampingIsRaisedUntilTheFactorExistsAndTheValueIsKept) {
  ThreadPool threads(1);
  std::vector<float> x(kCols, 1.0f);  // one token: rank one
  SecondMoment moment(kCols);
  moment.add(x.data(), 1, kCols, threads);
  GptqRounding options;
  options.damping = 0;
  const GptqFactor factor = make_gptq_factor(moment, nullptr, options, 0, threads);
  EXPECT_GT(factor.damping, 0);
  EXPECT_LT(factor.damping, 1);
  for (const float value : factor.u) EXPECT_TRUE(std::isfinite(value));
}

TEST(Feedback, WithoutTokensOrWithAnotherShapeItFails) {
  ThreadPool threads(1);
  EXPECT_THROW(natural_factor(SecondMoment(8), threads), Error);
  const GptqFactor factor = natural_factor(correlated(threads), threads);
  const DenseMatrix other(8, 16, random_values(8 * 16, 1));
  EXPECT_THROW(quantize_gptq("w", other, parse_target("int4-row"), factor, false, threads), Error);
}

/// Two ranks that take turns: what the other one gives is computed when it is asked for.
class TwoRanks final : public Ranks {
 public:
  /// `other(rank)` gives what that rank sends.
  TwoRanks(int rank, std::function<Bytes()> other) : rank_(rank), other_(std::move(other)) {}
  int rank() const override { return rank_; }
  int size() const override { return 2; }
  std::vector<Bytes> gather(const Bytes& mine) override {
    sent = mine;
    Bytes theirs = other_ ? other_() : Bytes();
    return rank_ == 0 ? std::vector<Bytes>{mine, theirs} : std::vector<Bytes>{theirs, mine};
  }
  Bytes sent;

 private:
  int rank_;
  std::function<Bytes()> other_;
};

// Rows that two ranks share out are the bytes of the whole: for scales fitted by the loop as for those that come from
// the whole matrix, and for codebooks, whose rows are not shared out.
TEST(GptqRanks, SharedOutRowsEqualTheWholeForEveryStorage) {
  ThreadPool threads(2);
  constexpr int64_t kMany = 2 * kGptqTileRows + 40;
  const DenseMatrix w(kMany, kCols, random_values(kMany * kCols, 9));
  const SecondMoment moment = correlated(threads);
  for (const ColumnOrder order : {ColumnOrder::kNatural, ColumnOrder::kActivation}) {
    GptqRounding options;
    options.order = order;
    const GptqFactor factor = make_gptq_factor(moment, nullptr, options, 0, threads);
    std::vector<const char*> texts(std::begin(kSpecs), std::end(kSpecs));
    texts.push_back("codebook2-col");
    for (const char* text : texts) {
      const RoundingTarget target = parse_target(text);
      GptqReport whole_report, report;
      const auto whole = quantize_gptq("w", w, target, factor, false, threads, &whole_report);
      TwoRanks second(1, nullptr);
      TwoRanks first(0, [&] {
        try {
          quantize_gptq("w", w, target, factor, false, second, threads);
        } catch (const Error&) {  // the first rank's part is missing there
        }
        return second.sent;
      });
      expect_same_bytes(*quantize_gptq("w", w, target, factor, false, first, threads, &report), *whole, text);
      EXPECT_EQ(report.loss, whole_report.loss) << text;
      EXPECT_EQ(report.rounding.weight_error, whole_report.rounding.weight_error) << text;
      EXPECT_EQ(report.rounding.saturated, whole_report.rounding.saturated) << text;
    }
  }
}

TEST(GptqRanks, AMissingPartIsAnError) {
  ThreadPool threads(1);
  const DenseMatrix w(2 * kGptqTileRows, kCols, random_values(2 * kGptqTileRows * kCols, 9));
  const GptqFactor factor = natural_factor(correlated(threads), threads);
  for (const int rank : {0, 1}) {
    TwoRanks ranks(rank, nullptr);
    EXPECT_THROW(quantize_gptq("w", w, parse_target("int4-g32"), factor, false, ranks, threads), Error) << rank;
  }
}

// H permuted and permuted back is H: every order is a permutation, and one scale per row makes the visiting order the
// only difference, so that weights without feedback (diagonal H) get the same bytes in any order.
TEST(ColumnOrder, IsAPermutationThatCodesDoNotShow) {
  ThreadPool threads(1);
  const DenseMatrix w = test_matrix();
  const SecondMoment moment = diagonal(threads);
  const auto nearest = quantize_nearest("w", w, parse_grid_target("int4-row"), threads);
  for (const ColumnOrder order : {ColumnOrder::kNatural, ColumnOrder::kActivation, ColumnOrder::kGroupAware}) {
    GptqRounding options;
    options.order = order;
    const GptqFactor factor = make_gptq_factor(moment, nullptr, options, 24, threads);
    auto sorted = factor.order;
    std::sort(sorted.begin(), sorted.end());
    for (int64_t c = 0; c < kCols; ++c) ASSERT_EQ(sorted[static_cast<size_t>(c)], c);
    expect_same_bytes(*quantize_gptq("w", w, parse_target("int4-row"), factor, false, threads), *nearest, "");
  }
}

TEST(ColumnOrder, ByHand) {
  using testing::ElementsAre;
  const std::vector<float> diagonal = {1, 5, 3, 3, 9, 0, 7};
  EXPECT_THAT(column_order(diagonal, ColumnOrder::kNatural, 2), ElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_THAT(column_order(diagonal, ColumnOrder::kActivation, 2), ElementsAre(4, 6, 1, 2, 3, 0, 5));
  // Groups {0,1} {2,3} {4,5}, greatest 5, 3, 9; column 6 is beyond the last whole group.
  EXPECT_THAT(column_order(diagonal, ColumnOrder::kGroupAware, 2), ElementsAre(4, 5, 1, 0, 2, 3, 6));
}

}  // namespace
}  // namespace bitloom
