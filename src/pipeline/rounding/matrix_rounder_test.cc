#include "pipeline/rounding/matrix_rounder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/memory/dense_matrix.h"
#include "base/ranks.h"
#include "base/rng.h"
#include "pipeline/test_models.h"
#include "round/gptq/gptq.h"

namespace bitloom {
namespace {

// Stateless, so the tests may share it.
Ranks one_process;

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::refusal;

constexpr int64_t kChannels = 16;

/// Statistics whose second moment is 1 on the diagonal, `off` between channels 0 and 1, and 0 elsewhere: eigenvalues
/// 1 and 1 +- off. No tokens give an `off` above 1; sums that lost their last bits can come near it.
InputStatistics coupled(double off) {
  std::vector<double> tile(static_cast<size_t>(SecondMoment::kTile * SecondMoment::kTile));
  for (int64_t i = 0; i < kChannels; ++i) tile[static_cast<size_t>(i * (SecondMoment::kTile + 1))] = 100;
  tile[1] = 100 * off;
  InputStatistics statistics(kChannels);
  statistics.moment = SecondMoment::restore(kChannels, 100, 3, std::move(tile));
  const std::vector<float> one(kChannels, 1);
  statistics.range = ChannelRange::restore(one, one, std::vector<double>(kChannels, 100), 100, 3);
  return statistics;
}

RowSourcePtr weights() {
  Rng rng(1, 1);
  std::vector<float> w(8 * kChannels);
  for (float& value : w) value = rng.uniform() - 0.5f;
  return dense_matrix(8, kChannels, std::move(w));
}

RecipeStep step_of(const std::string& recipe) { return parse_short(recipe).steps.back(); }

TEST(MatrixRounder, RaisesTheDampingUntilItFactors) {
  ThreadPool threads(2);
  const InputStatistics statistics = coupled(1.045);
  MatrixRounder rounder(&statistics, one_process, threads);
  SiteRecord record;
  rounder.round("here", *weights(), step_of("gptq+int4-g16"), record);
  // 1 - 1.045 + damping > 0, in steps of 0.01.
  ASSERT_TRUE(record.damping);
  EXPECT_NEAR(*record.damping, 0.05, 1e-12);
  EXPECT_EQ(record.tokens, 100);
  EXPECT_EQ(record.dropped_tokens, 3);
  EXPECT_EQ(record.dead_channels, 0);
}

TEST(MatrixRounder, RefusesWhatWouldBecomeZeros) {
  ThreadPool threads(2);
  std::vector<float> tiny = weights()->decode_all();
  for (float& value : tiny) value *= 1e-30f;
  const RowSourcePtr w = dense_matrix(8, kChannels, std::move(tiny));
  MatrixRounder rounder(nullptr, one_process, threads);
  SiteRecord record;
  EXPECT_THAT(refusal(ErrorKind::kRefused, [&] { rounder.round("here", *w, step_of("int4-g16"), record); }),
              AllOf(HasSubstr("here: every weight would become 0 as int4-g16"), HasSubstr("(-f32)")));
  for (const char* holds : {"int8-g16-f32", "mxint8"}) {  // floats, and powers of two, down to 2^-127
    rounder.round("here", *w, step_of(holds), record);
    EXPECT_LT(record.weight_error, 0.01) << holds;
  }
  rounder.round("here", *dense_matrix(8, kChannels, std::vector<float>(8 * kChannels)), step_of("int4-g16"), record);
}

TEST(QuantizeResult, SaysWhatIsLost) {
  SiteRecord fine, lost;
  fine.name = "a", fine.weight_error = 0.5;
  lost.name = "b", lost.weight_error = 0.97, lost.storage = "int2-row";
  EXPECT_EQ(lost_remark({fine}), "");
  EXPECT_THAT(lost_remark({fine, lost}),
              HasSubstr("next to nothing: 1; worst: 'b' as int2-row, relative squared error 0.97"));
}

TEST(MatrixRounder, SaysWhenNoDampingHelps) {
  ThreadPool threads(2);
  const InputStatistics statistics = coupled(2);  // -1 + damping < 0
  MatrixRounder rounder(&statistics, one_process, threads);
  SiteRecord record;
  EXPECT_THAT(refusal(ErrorKind::kFailed,
                      [&] { rounder.round("m: tensor 'w'", *weights(), step_of("gptq+int4-g16"), record); }),
              AllOf(HasSubstr("m: tensor 'w'"), HasSubstr("16 channels (100 tokens)"),
                    HasSubstr("not positive definite with any damping below 1")));
}

TEST(MatrixRounder, NeedsStatisticsForRoundingByData) {
  ThreadPool threads(1);
  MatrixRounder rounder(nullptr, one_process, threads);
  SiteRecord record;
  EXPECT_THAT(refusal(ErrorKind::kFailed,
                      [&] { rounder.round("m: tensor 'w'", *weights(), step_of("gptq+int4-g16"), record); }),
              HasSubstr("m: tensor 'w': gptq without statistics of its inputs"));
  rounder.round("m: tensor 'w'", *weights(), step_of("int4-g16"), record);
  EXPECT_FALSE(record.output_error);
}

// One factor serves matrices that read the same input only while their options agree.
TEST(MatrixRounder, FactorsAreSharedOnlyByEqualOptions) {
  ThreadPool threads(2);
  const InputStatistics statistics = coupled(0.9);
  MatrixRounder shared(&statistics, one_process, threads);
  for (const char* recipe : {"gptq+int3-g16", "gptq:damp=0.2+int3-g16", "gptq:natural+int3-g8", "gptq+int3-g8",
                             "gptq+int3-g4", "gptq:act-order+int3-g4", "gptq+int3-g16"}) {
    MatrixRounder alone(&statistics, one_process, threads);
    SiteRecord a, b;
    EXPECT_EQ(shared.round("w", *weights(), step_of(recipe), a).matrix->decode_all(),
              alone.round("w", *weights(), step_of(recipe), b).matrix->decode_all())
        << recipe;
    EXPECT_EQ(a.damping, b.damping);
    EXPECT_EQ(a.output_error, b.output_error);
  }
}

}  // namespace
}  // namespace bitloom
