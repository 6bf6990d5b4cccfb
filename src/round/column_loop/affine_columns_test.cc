#include "round/column_loop/affine_columns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/test_data.h"
#include "round/gptq/gptq.h"
#include "round/round_matrix.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 300, kCols = 72;

InputStatistics inputs_of(ThreadPool& threads) {
  return testing::correlated_inputs(
      kCols, 400, 0.7f, [](int64_t c) { return 0.5f + static_cast<float>(c % 5); }, threads);
}

Rounded round_with(const RowSource& w, const char* storage, const GptqRounding& options, const InputStatistics& inputs,
                   int threads = 2) {
  ThreadPool pool(threads);
  InputCache shared;
  Ranks ranks;
  Rounded rounded =
      bitloom::round_matrix(Rounding(options), {"w", w, parse_target(storage), &inputs, shared, ranks, pool});
  rounded.matrix->check_values("w");
  return rounded;
}

/// By the definition: every weight left out in turn.
AffineScale fit_by_definition(const AffineGroup& group, int bits, double threshold) {
  const double whole = affine_error(group, range_affine(group, bits), bits);
  AffineGroup rest;
  for (size_t i = 0; i < group.w.size(); ++i) {
    AffineGroup others = group;
    others.w.erase(others.w.begin() + static_cast<ptrdiff_t>(i));
    others.h.erase(others.h.begin() + static_cast<ptrdiff_t>(i));
    if (whole - affine_error(others, range_affine(others, bits), bits) > threshold) continue;
    rest.w.push_back(group.w[i]), rest.h.push_back(group.h[i]);
  }
  return rest.w.empty() ? range_affine(group, bits) : range_affine(rest, bits);
}

TEST(AffineColumns, WeightsAreLeftOutOfTheFitAsTheDefinitionSays) {
  Rng rng(3, 9);
  int differ = 0;
  for (int sample = 0; sample < 200; ++sample) {
    AffineGroup group;
    for (int i = 0; i < 16; ++i) {
      group.w.push_back(static_cast<float>(rng.normal() * (i % 7 == sample % 7 ? 3 : 1)));
      group.h.push_back(static_cast<float>(0.2 + rng.uniform()));
    }
    for (const double threshold : {0.02, 0.1, 0.5}) {
      const AffineScale got = fit_leaving_out_at_once(group, 3, AffineSearch::kRange, threshold).scale;
      const AffineScale want = fit_by_definition(group, 3, threshold);
      EXPECT_EQ(got.scale, want.scale) << sample << " " << threshold;
      EXPECT_EQ(got.zero, want.zero) << sample << " " << threshold;
      differ += got.scale != range_affine(group, 3).scale ? 1 : 0;
    }
  }
  EXPECT_GT(differ, 100);
}

TEST(AffineColumns, ALoneOutlierIsLeftOut) {
  const AffineGroup group{{0, 1, 2, 3, 4, 5, 6, 100}, {}};
  EXPECT_EQ(fit_without_outliers(group, 3, AffineSearch::kRange, 10).scale.scale, finite_f16(6.0f / 7));
  // With 100 in the range 4, 5 and 6 have errors above 10, and a range from 1 on serves 1, 2 and 3 better.
  EXPECT_EQ(fit_leaving_out_at_once(group, 3, AffineSearch::kRange, 10).scale.scale, finite_f16(2.0f / 7));
  EXPECT_EQ(fit_without_outliers(group, 3, AffineSearch::kRange, 10).fitted.w.size(), 7u);
  EXPECT_EQ(fit_without_outliers(group, 3, AffineSearch::kRange, INFINITY).scale.scale, finite_f16(100.0f / 7));
}

// Real zero points and scales refitted to the feedback's costs do no worse than integer ones by the same loop.
TEST(AffineColumns, FeedbackOntoAffineCodesIsAsGoodAsOntoAsymmetricGrids) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3, 0.3);
  const InputStatistics inputs = inputs_of(threads);
  for (const int bits : {2, 3, 4}) {
    const auto error = [&](const std::string& storage) {
      return *round_with(w, storage.c_str(), {}, inputs).report.output_error;
    };
    const std::string b = std::to_string(bits);
    EXPECT_LT(error("affine" + b + "-g24"), error("int" + b + "-g24-asym-mse")) << bits;
    EXPECT_LT(error("affine" + b + "-g24"), 1.05 * error("affine" + b + "-g24-s6x16")) << bits;
    EXPECT_LT(error("affine" + b + "-g24-s6x16"), error("affine" + b + "-g24-s3x16")) << bits;
  }
}

// Orders that scatter groups take scales from the original weights, as static groups do.
TEST(AffineColumns, ServesEveryOrderForAnyNumberOfThreads) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3, 0.3);
  const InputStatistics inputs = inputs_of(threads);
  for (const char* storage : {"affine3-g16", "affine3-g16-s3x16", "affine2-g16-mixed"}) {
    for (const GptqRounding& options :
         {GptqRounding{.order = ColumnOrder::kNatural}, GptqRounding{.order = ColumnOrder::kActivation},
          GptqRounding{.static_groups = true}, GptqRounding{}}) {
      const Rounded rounded = round_with(w, storage, options, inputs, 1);
      EXPECT_LT(*rounded.report.output_error, 0.1) << storage;
      EXPECT_EQ(rounded.matrix->decode_all(), round_with(w, storage, options, inputs, 3).matrix->decode_all());
    }
  }
}

}  // namespace
}  // namespace bitloom
