#include "allocate/choose_storages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "base/rng.h"

namespace bitloom {
namespace {

using Matrices = std::vector<std::vector<StorageChoice>>;
using testing::ElementsAre;

struct Totals {
  int64_t bytes = 0;
  double loss = 0;
};

Totals totals(const Matrices& matrices, const std::vector<size_t>& chosen) {
  Totals all;
  for (size_t m = 0; m < matrices.size(); ++m) {
    all.bytes += matrices[m][chosen[m]].bytes;
    all.loss += std::max(matrices[m][chosen[m]].loss, 0.0);
  }
  return all;
}

/// The least loss within `budget`, every combination tried.
double least_loss(const Matrices& matrices, int64_t budget, size_t from = 0) {
  if (budget < 0) return std::numeric_limits<double>::infinity();
  if (from == matrices.size()) return 0;
  double best = std::numeric_limits<double>::infinity();
  for (const StorageChoice& choice : matrices[from]) {
    best = std::min(best, std::max(choice.loss, 0.0) + least_loss(matrices, budget - choice.bytes, from + 1));
  }
  return best;
}

Matrices random_matrices(uint64_t seed, int count) {
  Rng rng(seed, 1);
  Matrices matrices(static_cast<size_t>(count));
  for (std::vector<StorageChoice>& choices : matrices) {
    const int many = 1 + static_cast<int>(rng.next_u32() % 5);
    for (int c = 0; c < many; ++c) choices.push_back({1 + rng.next_u32() % 40, rng.uniform_double()});
  }
  return matrices;
}

int64_t smallest(const Matrices& matrices) {
  int64_t sum = 0;
  for (const auto& choices : matrices) {
    int64_t least = choices[0].bytes;
    for (const StorageChoice& choice : choices) least = std::min(least, choice.bytes);
    sum += least;
  }
  return sum;
}

// The page's vector: sizes 1, 1, 2; sensitivities 4, 1, 1; errors .067, .017, .0044 at 2, 3, 4 bits; 10 units of bits.
TEST(ChooseStorages, ThePagesVector) {
  Matrices matrices;
  const double errors[] = {.067, .017, .0044};
  const int64_t sizes[] = {1, 1, 2};
  const double sensitivities[] = {4, 1, 1};
  for (int m = 0; m < 3; ++m) {
    matrices.emplace_back();
    for (int b = 0; b < 3; ++b) matrices.back().push_back({sizes[m] * (b + 2), sensitivities[m] * errors[b]});
  }
  const std::vector<size_t> chosen = choose_storages(matrices, 10);
  EXPECT_THAT(chosen, ElementsAre(2, 0, 0));
  EXPECT_NEAR(totals(matrices, chosen).loss, .1516, 1e-9);
}

// Off the hull, which goes from 1 to 4 at once, but it fits.
TEST(ChooseStorages, TheRestGoesToWhateverFits) {
  const Matrices matrices = {{{1, 8}, {2, 7}, {4, 0}}, {{1, 1}}};
  EXPECT_THAT(choose_storages(matrices, 5), ElementsAre(2, 0));
  EXPECT_THAT(choose_storages(matrices, 4), ElementsAre(1, 0));
}

TEST(ChooseStorages, OptimalForTheBytesItTakes) {
  int exact = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Matrices matrices = random_matrices(seed, 5);
    const int64_t budget = smallest(matrices) + static_cast<int64_t>(Rng(seed, 2).next_u32() % 100);
    const Totals all = totals(matrices, choose_storages(matrices, budget));
    ASSERT_LE(all.bytes, budget);
    const double least = least_loss(matrices, budget);
    ASSERT_GE(all.loss, least - 1e-12);
    exact += all.loss < least + 1e-12 ? 1 : 0;
    // A step that did not fit is all that may be missing, and no loss is above 1.
    ASSERT_LE(all.loss, least + 1);
  }
  EXPECT_GT(exact, 150);
}

TEST(ChooseStorages, NothingIsMissedWhereEveryStepFits) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Matrices matrices = random_matrices(seed, 6);
    const Totals all = totals(matrices, choose_storages(matrices, 1000));
    EXPECT_NEAR(all.loss, least_loss(matrices, 1000), 1e-12);
  }
}

// A greater storage that loses more is never taken, and of equal ones the smaller is.
TEST(ChooseStorages, BytesAreForALesserLoss) {
  EXPECT_THAT(choose_storages(Matrices{{{1, .5}, {2, .7}, {3, .5}}}, 10), ElementsAre(0));
}

// A measured gain over the original is noise: no bytes are spent on it.
TEST(ChooseStorages, NoCreditBelowZero) {
  EXPECT_THAT(choose_storages(Matrices{{{1, -.1}, {2, -.9}}}, 10), ElementsAre(0));
}

TEST(ChooseStorages, WhatDoesNotFitLeavesRoomForOthers) {
  EXPECT_THAT(choose_storages(Matrices{{{10, 5}, {30, 0}}, {{10, 1}, {12, .9}}}, 25), ElementsAre(0, 1));
}

TEST(ChooseStorages, ABudgetBelowTheSmallestIsRefused) {
  try {
    choose_storages(Matrices{{{700, 1}}, {{400, 1}}}, 1000);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), testing::HasSubstr("1.07 KiB together"));
  }
}

}  // namespace
}  // namespace bitloom
