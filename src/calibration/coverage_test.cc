#include "calibration/coverage.h"

#include <gtest/gtest.h>

namespace bitloom {
namespace {

TEST(VocabularyShare, CountsDistinctIds) {
  const std::vector<std::vector<int32_t>> sequences = {{0, 3, 3}, {}, {7, 0}};
  EXPECT_EQ(vocabulary_share(sequences, 8), 3.0 / 8);
  EXPECT_EQ(vocabulary_share({}, 8), 0.0);
  const std::vector<std::vector<int32_t>> all = {{1, 0}, {2}};
  EXPECT_EQ(vocabulary_share(all, 3), 1.0);
}

}  // namespace
}  // namespace bitloom
