#include "eval/positions.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"

namespace bitloom {
namespace {

/// Windows of these lengths, scored from their second token on.
TextWindows windows_of(const std::vector<int64_t>& lengths) {
  TextWindows out;
  for (const int64_t length : lengths) {
    TextWindows::Window window;
    window.tokens.resize(static_cast<size_t>(length));
    out.scored_tokens += window.scored();
    out.windows.push_back(window);
  }
  return out;
}

std::vector<RowDivergence> rows_of(const std::vector<double>& kl) {
  std::vector<RowDivergence> out;
  for (const double x : kl) out.emplace_back().kl = x;
  return out;
}

// Two windows of 6 and one of 4: places 1..5, 1..5, 1..3. In bins of two: {1, 2}, {3, 4}, {5}.
TEST(Positions, BinsHoldTheirPlacesOfEveryWindow) {
  const TextWindows windows = windows_of({6, 6, 4});
  const std::vector<RowDivergence> rows = rows_of({1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300});
  const std::vector<PositionBin> out = kl_by_position(rows, windows, 3);
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0].first, 1);
  EXPECT_EQ(out[0].last, 2);
  EXPECT_NEAR(out[0].kl.mean, (1 + 2 + 10 + 20 + 100 + 200) / 6.0, 1e-12);
  EXPECT_NEAR(out[1].kl.mean, (3 + 4 + 30 + 40 + 300) / 5.0, 1e-12);
  EXPECT_EQ(out[2].first, 5);
  EXPECT_EQ(out[2].last, 5);
  EXPECT_NEAR(out[2].kl.mean, 27.5, 1e-12);
  EXPECT_LT(out[1].kl.low, out[1].kl.mean);
}

TEST(Positions, WorstSpansDoNotOverlapAndComeInOrder) {
  const TextWindows windows = windows_of({7, 4});
  const std::vector<RowDivergence> rows = rows_of({0, 9, 8, 1, 7, 0, 5, 5, 4});
  const std::vector<TokenSpan> out = worst_spans(rows, windows, 2, 3);
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0].row, 1);  // 9, 8
  EXPECT_EQ(out[0].first, 2);
  EXPECT_NEAR(out[0].kl, 8.5, 1e-12);
  EXPECT_EQ(out[1].row, 6);  // 5, 5 of the second window
  EXPECT_EQ(out[1].window, 1);
  EXPECT_EQ(out[1].first, 1);
  EXPECT_EQ(out[2].row, 3);  // 1, 7: 8, 1 touches the first
  EXPECT_NEAR(out[2].kl, 4, 1e-12);
}

TEST(Positions, ShortWindowsAreSpansOfTheirOwnLength) {
  const std::vector<TokenSpan> out = worst_spans(rows_of({1, 2, 6}), windows_of({3, 2}), 5, 9);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].count, 1);
  EXPECT_EQ(out[0].kl, 6);
  EXPECT_EQ(out[1].count, 2);
  EXPECT_EQ(out[1].kl, 1.5);
}

// The worst span of all is the first, by trying all.
TEST(Positions, TheFirstIsTheWorstOfAll) {
  const TextWindows windows = windows_of({40, 40, 25});
  std::vector<double> kl(102);
  Rng rng(4, 4);
  for (double& x : kl) x = rng.uniform_double();
  double worst = 0;
  for (const int64_t start : {0, 39, 78})
    for (int64_t i = start; i + 8 <= (start == 78 ? 102 : start + 39); ++i) {
      double sum = 0;
      for (int64_t j = 0; j < 8; ++j) sum += kl[static_cast<size_t>(i + j)];
      worst = std::max(worst, sum / 8);
    }
  EXPECT_NEAR(worst_spans(rows_of(kl), windows, 8, 1).front().kl, worst, 1e-12);
}

}  // namespace
}  // namespace bitloom
