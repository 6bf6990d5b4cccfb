#include "tune/learned/code_step.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "format/families/vector/vector_storage.h"
#include "tune/learned/test_matrix.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 70, kCols = 21, kGroup = 8, kTiles = 3;  // the last of a row has five weights
constexpr double kNoLimit = 1;

/// A random matrix in additive codes of 2 x 2^3 vectors, and weights that its codes are to come near to.
struct Lesson {
  Lesson() {
    Rng rng(11, 1);
    std::vector<float> w(kRows * kCols);
    for (float& value : w) value = static_cast<float>(rng.normal());
    matrix = testing::rounded_matrix("aq2x3-g8", kRows, w, threads);
    parts = parametrise("w", matrix, Learned::kAllAndCodes);
    codes.assign(parts->codes().begin(), parts->codes().end());
    for (const LearnedPart& part : parts->parts()) numbers.push_back(part.start);
    wanted = dense();
    for (float& value : wanted) value += 0.5f * static_cast<float>(rng.normal());
  }

  CodeMatrix view() {
    Parametrisation::Values values{{}, &codes};
    for (const std::vector<float>& of : numbers) values.parts.push_back(&of);
    return {*parts, values, kRows, kCols};
  }
  std::vector<float> dense() { return dense_weights(view(), threads); }
  int64_t step(const CodeOptions& options) { return choose_codes(view(), options, codes, wanted, threads); }

  ThreadPool threads{2};
  std::shared_ptr<const StoredMatrix> matrix;
  std::unique_ptr<const Parametrisation> parts;
  std::vector<std::vector<float>> numbers;  // codebooks, scales
  std::vector<uint16_t> codes;
  std::vector<float> wanted;
};

/// Weight c of a tile for a pair of codes: s (C_1[pair / 8] + C_2[pair % 8]).
double weight(const Lesson& of, int64_t tile, int64_t pair, int64_t c) {
  const std::vector<float>& books = of.numbers[0];
  const double sum = static_cast<double>(books[static_cast<size_t>(pair / 8 * kGroup + c)]) +
                     static_cast<double>(books[static_cast<size_t>((8 + pair % 8) * kGroup + c)]);
  return static_cast<double>(of.numbers[1][static_cast<size_t>(tile / kTiles)]) * sum;
}

/// The squared distance of a tile's weights from others.
double distance(const Lesson& of, int64_t tile, int64_t pair, const std::function<double(int64_t c)>& other) {
  double sum = 0;
  for (int64_t c = 0; c < std::min(kGroup, kCols - tile % kTiles * kGroup); ++c) {
    sum += std::pow(other(c) - weight(of, tile, pair, c), 2);
  }
  return sum;
}

/// The definition: every pair of codes is tried for each tile that is looked at.
std::vector<uint16_t> reference(Lesson& of, double changes, double trust) {
  std::vector<uint16_t> codes = of.codes;
  const std::vector<float> w = of.dense();
  const auto own = [&](int64_t tile) {
    return of.codes[static_cast<size_t>(2 * tile)] * 8 + of.codes[static_cast<size_t>(2 * tile + 1)];
  };
  const auto from_wanted = [&](int64_t tile, int64_t pair) {
    const float* wanted = of.wanted.data() + tile / kTiles * kCols + tile % kTiles * kGroup;
    return distance(of, tile, pair, [&](int64_t c) { return static_cast<double>(wanted[c]); });
  };
  std::vector<int64_t> order(kRows * kTiles);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return from_wanted(a, own(a)) > from_wanted(b, own(b)); });
  double square = 0, moved = 0;
  for (const float x : w) square += static_cast<double>(x) * static_cast<double>(x);
  const auto count = static_cast<int64_t>(std::ceil(changes * static_cast<double>(order.size())));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t tile = order[static_cast<size_t>(i)];
    int64_t best = 0;
    for (int64_t pair = 0; pair < 64; ++pair) {
      if (from_wanted(tile, pair) < from_wanted(tile, best)) best = pair;
    }
    const double move = distance(of, tile, best, [&](int64_t c) { return weight(of, tile, own(tile), c); });
    if (move == 0) continue;
    if (moved > 0 && moved + move > trust * trust * square) break;
    moved += move;
    codes[static_cast<size_t>(2 * tile)] = static_cast<uint16_t>(best / 8);
    codes[static_cast<size_t>(2 * tile + 1)] = static_cast<uint16_t>(best % 8);
  }
  return codes;
}

int64_t differing(const std::vector<uint16_t>& a, const std::vector<uint16_t>& b) {
  int64_t tiles = 0;
  for (size_t i = 0; i < a.size(); i += 2) tiles += a[i] != b[i] || a[i + 1] != b[i + 1] ? 1 : 0;
  return tiles;
}

// t = 1: v = .05 g^2, corrected g^2: one whole step. t = 2: v = .95 .05 4 + .05 1 = .24, corrected by 1 - .95^2 =
// .0975.
TEST(MoveWanted, StepsByHand) {
  std::vector<float> wanted = {1.0f, 1.0f}, second = {0.0f, 0.0f};
  move_wanted(std::vector<float>{2.0f, 0.0f}, 0.25, 1, wanted.data(), second.data());
  EXPECT_NEAR(wanted[0], 0.75, 1e-6);
  EXPECT_EQ(wanted[1], 1.0f) << "no gradient, no step";
  move_wanted(std::vector<float>{-1.0f, 0.0f}, 0.25, 2, wanted.data(), second.data());
  EXPECT_NEAR(second[0], 0.24, 1e-6);
  EXPECT_NEAR(wanted[0], 0.75 + 0.25 / std::sqrt(0.24 / 0.0975), 1e-6);
}

TEST(ChooseCodes, TakesWhatTheDefinitionTakes) {
  for (const auto& [changes, trust] : {std::pair<double, double>{1, kNoLimit}, {0.1, kNoLimit}, {0.5, 0.2}, {1, 0}}) {
    Lesson lesson;
    const std::vector<uint16_t> before = lesson.codes, expected = reference(lesson, changes, trust);
    const int64_t changed = lesson.step({.changes = changes, .trust = trust, .beam = 8});
    EXPECT_EQ(lesson.codes, expected) << changes << ' ' << trust;
    EXPECT_EQ(changed, differing(before, expected));
    EXPECT_GT(changed, trust == 0 ? 0 : 1);
    EXPECT_TRUE(trust > 0 || changed == 1) << "one whatever it moves";
  }
}

TEST(ChooseCodes, AreStoredAsTheyAreCounted) {
  Lesson lesson;
  const std::vector<uint16_t> before = lesson.codes;
  EXPECT_GT(lesson.step({.changes = 1, .trust = kNoLimit}), 10);
  const auto stored = lesson.parts->store("w", lesson.matrix, lesson.view().values);
  EXPECT_EQ(stored->decode_all(), lesson.dense());
  EXPECT_NE(stored->decode_all(), lesson.matrix->decode_all());
}

TEST(ChooseCodes, DecayBringsTheWantedWeightsBack) {
  Lesson lesson;
  lesson.step({.changes = 0.5, .trust = kNoLimit, .decay = 1});
  const std::vector<float> w = lesson.dense();
  for (size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(lesson.wanted[i], w[i], 1e-5) << i;
}

TEST(ChooseCodes, AreTheSameForAnyNumberOfThreads) {
  Lesson one, three;
  ThreadPool single(1), more(3);
  choose_codes(one.view(), {.changes = 0.5}, one.codes, one.wanted, single);
  choose_codes(three.view(), {.changes = 0.5}, three.codes, three.wanted, more);
  EXPECT_EQ(one.codes, three.codes);
}

TEST(ChooseCodes, OnlyWhereTheyAreLearned) {
  Lesson lesson;
  EXPECT_EQ(parametrise("w", lesson.matrix, Learned::kAll)->tile(), 0);
  EXPECT_EQ(lesson.parts->tile(), kGroup);
}

}  // namespace
}  // namespace bitloom
