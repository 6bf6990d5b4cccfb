#include "pipeline/walk/stream/activation_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/rng.h"
#include "base/test_data.h"
#include "pipeline/test_models.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::refusal;
using testing::TempDir;

ActivationShape shape_of(ActivationPrecision precision) { return {{5, 1, 7}, {8, 3}, precision}; }

std::vector<float> values(int64_t count, uint64_t stream) {
  Rng rng(3, stream);
  std::vector<float> result(static_cast<size_t>(count));
  for (float& value : result) value = 4.0f * rng.uniform() - 2.0f;
  return result;
}

/// Fills every slot, in an order that leaves gaps, and reads all back.
std::vector<std::vector<float>> through(ActivationStore& store, int64_t last_width) {
  std::vector<std::vector<float>> result;
  const std::vector<int64_t> widths = {8, last_width};
  for (const int64_t chunk : {2, 0, 1}) {
    for (const int slot : {1, 0}) {
      const int64_t width = widths[static_cast<size_t>(slot)];
      const int64_t count = store.shape().chunk_rows[static_cast<size_t>(chunk)] * width;
      store.put(chunk, slot, values(count, static_cast<uint64_t>(10 * chunk + slot)).data(), width);
    }
  }
  for (const int64_t chunk : {0, 1, 2}) {
    for (const int slot : {0, 1}) {
      const int64_t width = widths[static_cast<size_t>(slot)];
      std::vector<float>& read = result.emplace_back(store.shape().chunk_rows[static_cast<size_t>(chunk)] * width);
      store.get(chunk, slot, read.data(), width);
    }
  }
  return result;
}

TEST(ActivationStore, CountsItsBytes) {
  EXPECT_EQ(shape_of(ActivationPrecision::kF32).bytes(), 13 * 11 * 4);
  EXPECT_EQ(shape_of(ActivationPrecision::kBF16).bytes(), 13 * 11 * 2);
}

TEST(ActivationStore, GivesBackWhatWasPut) {
  ActivationStore store(shape_of(ActivationPrecision::kF32), "");
  EXPECT_FALSE(store.in_file());
  const auto read = through(store, 2);  // less than the slot's width
  size_t at = 0;
  for (const int64_t chunk : {0, 1, 2}) {
    for (const int slot : {0, 1}) {
      const auto& found = read[at++];
      EXPECT_EQ(found, values(static_cast<int64_t>(found.size()), static_cast<uint64_t>(10 * chunk + slot)));
    }
  }
}

TEST(ActivationStore, FileAndMemoryAreAlike) {
  for (const auto precision : {ActivationPrecision::kF32, ActivationPrecision::kBF16}) {
    const TempDir dir;
    ActivationStore memory(shape_of(precision), ""), file(shape_of(precision), dir.path());
    EXPECT_TRUE(file.in_file());
    EXPECT_TRUE(std::filesystem::is_empty(dir.path())) << "the file has no name while it is open";
    EXPECT_EQ(through(memory, 3), through(file, 3));
  }
}

// bf16 keeps 8 significant bits: a relative error of at most 2^-9.
TEST(ActivationStore, HalvesRoundToNearest) {
  ActivationStore store({{1}, {4}, ActivationPrecision::kBF16}, "");
  const std::vector<float> x = {1.0f, 1.0f + 0x1.8p-8f, -3.0f, 1e-30f};
  std::vector<float> y(4);
  store.put(0, 0, x.data(), 4);
  store.get(0, 0, y.data(), 4);
  EXPECT_EQ(y[0], 1.0f);
  EXPECT_EQ(y[1], 1.0f + 0x1p-7f);
  EXPECT_EQ(y[2], -3.0f);
  EXPECT_NEAR(y[3], 1e-30f, 1e-30f * 0x1p-9f);
}

TEST(ActivationStore, KeepsWhatIsNotFinite) {
  for (const auto precision : {ActivationPrecision::kF32, ActivationPrecision::kBF16}) {
    ActivationStore store({{1}, {2}, precision}, "");
    const std::vector<float> x = {std::numeric_limits<float>::infinity(), std::nanf("")};
    std::vector<float> y(2);
    store.put(0, 0, x.data(), 2);
    store.get(0, 0, y.data(), 2);
    EXPECT_EQ(y[0], x[0]);
    EXPECT_TRUE(std::isnan(y[1]));
  }
}

TEST(ActivationStore, SaysWhyThereIsNoFile) {
  EXPECT_THAT(
      refusal(ErrorKind::kFailed, [] { ActivationStore(shape_of(ActivationPrecision::kF32), "/no/such/place"); }),
      HasSubstr("/no/such/place/activations-"));
  const ActivationShape vast = {{int64_t{1} << 40}, {int64_t{1} << 10}, ActivationPrecision::kF32};
  const TempDir dir;
  EXPECT_THAT(refusal(ErrorKind::kFailed, [&] { ActivationStore(vast, dir.path()); }), HasSubstr("of activations"));
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

}  // namespace
}  // namespace bitloom
