#include "transform/scaling/equalize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/test_linears.h"
#include "transform/scaling/matrix_ranges.h"
#include "transform/test_models.h"

namespace bitloom {
namespace {

using testing::difference;
using testing::golden_models;
using testing::kSameFunction;
using testing::logits;
using testing::open_golden;

bool every_site(const Site&) { return true; }

std::shared_ptr<const Checkpoint> equalized(std::shared_ptr<const Checkpoint> model, ThreadPool& threads) {
  for (int b = 0; b < static_cast<int>(model->graph().blocks.size()); ++b) {
    model = Checkpoint::edited(model, equalize_block(*model, b, {}, every_site, threads));
  }
  return model;
}

TEST(EqualizingScales, AreTheRootOfTheRatio) {
  const std::vector<float> s =
      equalizing_scales(std::vector<float>{8, 1, 0, 3, 1e30f}, std::vector<float>{2, 9, 5, 0, 1e-30f});
  const std::vector<float> expected = {2.0f, 1.0f / 3.0f, 1.0f, 1.0f, 1e8f};
  for (size_t i = 0; i < s.size(); ++i) EXPECT_FLOAT_EQ(s[i], expected[i]) << i;
}

class EqualizeEveryModel : public ::testing::TestWithParam<std::string> {
 protected:
  ThreadPool threads_{2};
};

TEST_P(EqualizeEveryModel, KeepsTheFunction) {
  const auto model = open_golden(GetParam());
  EXPECT_LE(difference(logits(equalized(model, threads_), threads_), logits(model, threads_)), kSameFunction);
}

// Both ranges of every pair are equal afterwards, to the three roundings that each took.
TEST_P(EqualizeEveryModel, MakesRangesEqual) {
  const auto model = open_golden(GetParam()), result = equalized(model, threads_);
  int pairs = 0;
  for (int b = 0; b < static_cast<int>(model->graph().blocks.size()); ++b) {
    for (const ChannelGroup& group : channel_groups(model->graph(), b)) {
      const auto* absorber = std::get_if<RowAbsorber>(&group.absorber);
      if (absorber == nullptr) continue;
      ++pairs;
      const std::vector<float> rows = row_absmax(*result->matrix(absorber->linear), threads_);
      const std::vector<float> old_rows = row_absmax(*model->matrix(absorber->linear), threads_);
      const Linear& reader = *group.readers[0].linear;
      const std::vector<float> columns = group.maximum(column_absmax(*result->matrix(reader), threads_));
      const std::vector<float> old_columns = group.maximum(column_absmax(*model->matrix(reader), threads_));
      for (size_t i = 0; i < columns.size(); ++i) {
        const auto row = static_cast<size_t>(absorber->rows[i]);
        ASSERT_NEAR(rows[row], columns[i], 0x1p-21f * columns[i]);
        ASSERT_NEAR(rows[row] * columns[i], old_rows[row] * old_columns[i], 0x1p-20f * rows[row] * columns[i]);
      }
    }
  }
  // Where neither values nor the MLP are linear in a scale there are none.
  EXPECT_EQ(pairs == 0, GetParam() == "mpt");
}

INSTANTIATE_TEST_SUITE_P(Tiny, EqualizeEveryModel, ::testing::ValuesIn(golden_models()),
                         [](const auto& test) { return test.param; });

TEST(Equalize, TrainedModelsStayTheSame) {
  ThreadPool threads(2);
  for (const auto& model : testing::trained_models()) {
    const double found = difference(logits(equalized(model, threads), threads, 8), logits(model, threads, 8));
    std::printf("%s: %.1e of the range\n", model->path().c_str(), found);
    EXPECT_LE(found, kSameFunction);
  }
}

TEST(Equalize, ASecondPassChangesNothing) {
  ThreadPool threads(2);
  const auto model = open_golden("llama"), once = equalized(model, threads), twice = equalized(once, threads);
  const std::string& up = testing::linear_of(model->graph(), 0, "up").weight;
  const std::vector<float> a = once->vector(up), b = twice->vector(up);
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 0x1p-21f * std::abs(a[i]));
}

TEST(Equalize, LeavesUntargetedPairsAlone) {
  ThreadPool threads(1);
  const auto model = open_golden("llama");
  const TensorEdits edits = equalize_block(
      *model, 0, {}, [](const Site& site) { return site.input == testing::kMlpDown; }, threads);
  ASSERT_EQ(edits.tensors.size(), 2u);
  EXPECT_TRUE(edits.tensors.contains(testing::linear_of(model->graph(), 0, "up").weight));
  EXPECT_TRUE(edits.tensors.contains(testing::linear_of(model->graph(), 0, "down").weight));
}

}  // namespace
}  // namespace bitloom
