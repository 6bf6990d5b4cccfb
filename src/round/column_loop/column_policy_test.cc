// Every policy through the loop and through its definition, and what it stores.
#include "round/column_loop/column_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "observe/moment/second_moment.h"
#include "round/column_loop/column_loop.h"
#include "round/gptq/gptq.h"
#include "round/kmeans/kmeans.h"
#include "round/output_error.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 300, kCols = 160;
constexpr const char* kStorages[] = {"int4-g32",      "int3-g64-asym-mse", "nvfp4",
                                     "int4-row",      "nf4-g32",           "int3-block10x16",
                                     "codebook2-col", "codebook3-col",     "codebook2.5-col"};

/// Correlated inputs; `diagonal`: one token per channel, so that nothing is fed forward.
SecondMoment moment_of(ThreadPool& threads, bool diagonal) {
  const int64_t tokens = diagonal ? kCols : 500;
  std::vector<float> x(static_cast<size_t>(tokens * kCols));
  Rng rng(4, 2);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t c = 0; c < kCols; ++c) {
      const auto at = static_cast<size_t>(t * kCols + c);
      x[at] = diagonal ? (t == c ? 1.0f + static_cast<float>(c % 3) : 0.0f) : static_cast<float>(rng.normal());
      if (!diagonal && c > 0) x[at] += 0.8f * x[at - 1];
    }
  }
  SecondMoment moment(kCols);
  moment.add(x.data(), tokens, kCols, threads);
  return moment;
}

GptqFactor factor_of(const SecondMoment& moment, ColumnOrder order, ThreadPool& threads) {
  GptqRounding options;
  options.order = order;
  return make_gptq_factor(moment, nullptr, options, 32, threads);
}

struct Solved {
  double loss = 0;
  std::vector<float> values;  // [columns, rows] in the order of the loop
  std::shared_ptr<const StoredMatrix> matrix;
};

/// All rows at once, by the loop or by its definition.
Solved solve(const RowSource& w, const char* storage, const GptqFactor& factor, bool reference, ThreadPool* threads) {
  ThreadPool one(1);
  const RoundingTarget target = parse_target(storage);
  const std::string place = "w";
  const std::vector<float> costs = factor.error_costs();
  const auto policies = make_column_policies({place, w, target, factor.order, costs}, one);
  const auto policy = policies->policy({0, w.rows()});
  const std::vector<float> original = w.decode_all();
  std::vector<float> columns(original.size()), errors(original.size());
  for (int64_t p = 0; p < w.cols(); ++p) {
    for (int64_t r = 0; r < w.rows(); ++r) {
      columns[static_cast<size_t>(p * w.rows() + r)] =
          original[static_cast<size_t>(r * w.cols() + factor.order[static_cast<size_t>(p)])];
    }
  }
  const ColumnFeedback feedback{factor.channels, factor.u.data(), nullptr};
  Solved solved;
  solved.loss = reference ? column_loop_reference(feedback, columns.data(), errors.data(), w.rows(), *policy)
                          : column_loop(feedback, columns.data(), errors.data(), w.rows(), *policy, threads);
  solved.values.resize(original.size());
  for (int64_t p = 0; p < w.cols(); ++p) policy->decode_column(p, solved.values.data() + p * w.rows());
  policies->store({0, w.rows()}, policy->chosen());
  solved.matrix = policies->finish("w");
  return solved;
}

/// W = Q, to the last bit, of what a policy says it chose and of what the stored matrix decodes to.
void expect_stored(const Solved& solved, const GptqFactor& factor, const char* storage) {
  solved.matrix->check_values("w");
  const std::vector<float> decoded = solved.matrix->decode_all();
  for (int64_t p = 0; p < kCols; ++p) {
    for (int64_t r = 0; r < kRows; ++r) {
      ASSERT_EQ(solved.values[static_cast<size_t>(p * kRows + r)],
                decoded[static_cast<size_t>(r * kCols + factor.order[static_cast<size_t>(p)])])
          << storage << " row " << r << " position " << p;
    }
  }
}

// Sums in another order may bring a weight to the other side of a tie, and what follows it; the loss hardly notices.
TEST(ColumnPolicies, LoopAndDefinitionAgreeForEveryPolicy) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  for (const ColumnOrder order : {ColumnOrder::kNatural, ColumnOrder::kActivation}) {
    const GptqFactor factor = factor_of(moment_of(threads, false), order, threads);
    for (const char* storage : kStorages) {
      const Solved fast = solve(w, storage, factor, false, nullptr), slow = solve(w, storage, factor, true, nullptr);
      EXPECT_NEAR(fast.loss, slow.loss, 0.01 * slow.loss) << storage;
      expect_stored(fast, factor, storage);
      expect_stored(slow, factor, storage);
    }
  }
}

TEST(ColumnPolicies, AllRowsAtOnceGiveTheSameBytesForAnyNumberOfThreads) {
  ThreadPool one(1), three(3);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const GptqFactor factor = factor_of(moment_of(one, false), ColumnOrder::kNatural, one);
  const Solved a = solve(w, "codebook3-col", factor, false, &one), b = solve(w, "codebook3-col", factor, false, &three);
  EXPECT_EQ(a.values, b.values);
  EXPECT_EQ(a.loss, b.loss);
}

// Without feedback a column's table is k-means of its own weights.
TEST(ColumnPolicies, CodebooksWithADiagonalMomentAreThoseOfKMeans) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 5);
  const GptqFactor factor = factor_of(moment_of(threads, true), ColumnOrder::kActivation, threads);
  for (const char* storage : {"codebook2-col", "codebook2.5-col"}) {
    const auto fed = quantize_gptq("w", w, parse_target(storage), factor, false, threads);
    const auto plain = quantize_kmeans("w", w, parse_storage(storage), {}, threads);
    EXPECT_EQ(fed->decode_all(), plain->decode_all()) << storage;
    EXPECT_EQ(fed->true_bits(), plain->true_bits()) << storage;
  }
}

TEST(ColumnPolicies, FeedbackLowersTheOutputErrorOfCodebooks) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 5);
  const SecondMoment moment = moment_of(threads, false);
  const GptqFactor factor = factor_of(moment, ColumnOrder::kActivation, threads);
  for (const char* storage : {"codebook2-col", "codebook3-col", "codebook2.5-col"}) {
    const auto fed = quantize_gptq("w", w, parse_target(storage), factor, false, threads);
    const auto plain = quantize_kmeans("w", w, parse_storage(storage), {}, threads);
    EXPECT_LT(output_error(w, *fed, moment, threads), 0.9 * output_error(w, *plain, moment, threads)) << storage;
  }
}

TEST(ColumnPolicies, StoragesWithoutOneAndForeignBytesAreErrors) {
  ThreadPool threads(1);
  const DenseMatrix w = testing::normal_matrix(8, kCols, 5);
  const GptqFactor factor = factor_of(moment_of(threads, true), ColumnOrder::kNatural, threads);
  EXPECT_FALSE(has_column_policies(parse_storage("codebook3-row")));
  EXPECT_FALSE(has_column_policies(parse_storage("int4-g32+outliers0.01")));
  EXPECT_THROW(quantize_gptq("w", w, parse_target("codebook3-row"), factor, false, threads), Error);
  const std::string place = "w";
  const std::vector<float> costs = factor.error_costs();
  for (const char* storage : {"int4-g32", "int4-row", "codebook3-col"}) {
    const RoundingTarget target = parse_target(storage);
    const auto policies = make_column_policies({place, w, target, factor.order, costs}, threads);
    const auto policy = policies->policy({0, 4});
    EXPECT_THROW(policies->store({0, 8}, policy->chosen()), Error) << storage;
    EXPECT_THROW(policies->store({0, 8}, {}), Error) << storage;
  }
}

}  // namespace
}  // namespace bitloom
