// Every kernel of the list that this machine can run against the reference of cached_attention.

#include "kernels/tile_attention/tile_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <vector>

#include "kernels/cached_attention/reference.h"
#include "kernels/tile_attention/test_tile.h"

namespace bitloom {
namespace {

class TileAttention : public ::testing::TestWithParam<TileAttentionEntry> {};

void expect_reference(const RandomTile& tile) {
  const TileAttentionCall& call = tile.tile;
  for (int64_t g = 0; g < call.heads * call.positions; ++g) {
    const auto i = static_cast<size_t>(g);
    const int64_t p = call.position + g % call.positions, last = std::max<int64_t>(p + 1, 0);
    const int64_t first = call.window > 0 ? std::max<int64_t>(p - call.window + 1, 0) : 0;
    if (last == 0) {
      EXPECT_EQ(tile.sum[i], 0);
      continue;
    }
    CachedAttentionCall one = tile.call;
    const std::vector<float> slopes(tile.sum.size(), call.slopes == nullptr ? 0 : call.slopes[g / call.positions]);
    one.k += first * one.k_stride, one.v += first * one.v_stride, one.keys = last - first;
    one.softcap = call.softcap, one.slopes = slopes.data(), one.distance = first - p;
    const ReferenceAttention want = cached_attention_reference(one, call.format, g);
    // As of cached_attention: products and sums round by 2^-24 of what they are part of, tanh and e^x are off by 3e-7.
    const double relative = static_cast<double>(call.head_dim + 8) * 0x1p-24 * want.score_size + 6e-7 * call.softcap +
                            2e-7 + static_cast<double>(call.keys + 8) * 0x1p-24;
    ASSERT_NEAR(tile.most[i] + std::log(tile.sum[i]), want.log_sum, relative + 0x1p-23 * std::abs(want.log_sum));
    for (int64_t c = 0; c < call.value_dim; ++c) {
      const float value = tile.values[static_cast<size_t>(g * padded_channels(call.value_dim) + c)];
      ASSERT_NEAR(value / tile.sum[i], want.values[static_cast<size_t>(c)], 2 * relative * want.size)
          << call.keys << " keys, " << call.head_dim << " channels, query " << g << " of " << call.positions;
    }
  }
}

TEST_P(TileAttention, EveryShape) {
  for (const KvFormat format : every_kv_format()) {
    for (const int64_t keys : {1, 2, 15, 16, 17, 63, 64, 65, 150}) {
      for (const int64_t dim : {1, 7, 16, 40, 64, 96, 300}) {
        for (const int64_t window : {0, 21}) {
          RandomTile tile(format, keys, 1 + dim % 3, 1 + (keys * 7 + dim) % 23, dim, dim % 2 == 0 ? dim : dim + 3,
                          window);
          GetParam().kernel(tile.tile);
          expect_reference(tile);
        }
      }
    }
  }
}

TEST_P(TileAttention, CapsAndBiases) {
  for (const float softcap : {0.0f, 5.0f}) {
    RandomTile tile(KvFormat::kInt8, 100, 3, 13, 48, 48, 70);
    const std::vector<float> slopes = {0.2f, 0.0f, 0.01f};
    tile.tile.softcap = softcap, tile.tile.slopes = slopes.data();
    GetParam().kernel(tile.tile);
    expect_reference(tile);
  }
}

TEST_P(TileAttention, GoesOnAfterKeysBefore) {
  for (const int64_t first : {1, 30, 64, 99}) {
    RandomTile tile(KvFormat::kBf16, 150, 2, 9, 48, 48, 100);
    TileAttentionCall part = tile.tile;
    part.keys = first;
    GetParam().kernel(part);
    part.k += first * part.k_stride, part.v += first * part.v_stride;
    part.keys = 150 - first, part.position -= first;
    GetParam().kernel(part);
    expect_reference(tile);
  }
}

TEST_P(TileAttention, AQueryHasTheSameBitsAlone) {
  RandomTile tile(KvFormat::kFp16, 150, 2, 4, 80, 80, 90);
  GetParam().kernel(tile.tile);
  const auto together = tile.values, sum = tile.sum, most = tile.most;
  tile.start();
  for (int64_t g = 0; g < 8; ++g) {
    TileAttentionCall one = tile.tile;
    one.heads = one.positions = 1, one.position += g % 4, one.q += g * padded_channels(80),
    one.values += g * padded_channels(80);
    one.most += g, one.sum += g;
    GetParam().kernel(one);
  }
  EXPECT_EQ(tile.values, together);
  EXPECT_EQ(tile.sum, sum);
  EXPECT_EQ(tile.most, most);
}

TEST_P(TileAttention, NanShows) {
  RandomTile tile(KvFormat::kFp32, 100, 1, 7, 64, 64);
  const std::vector<float> head(64, std::nanf(""));
  write_kv_head(KvFormat::kFp32, head.data(), 64, tile.k.data() + (2 * 41 + 1) * 256);
  GetParam().kernel(tile.tile);
  for (const float value : tile.values) EXPECT_TRUE(std::isnan(value));
}

// Queries that go together do not all see the last value, nor, of a window, the first.
TEST_P(TileAttention, ValuesThatAreNotFiniteShowWhereTheyAreSeen) {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    for (const int64_t row : {0, 99}) {
      RandomTile tile(KvFormat::kFp32, 100, 2, 7, 64, 64, row == 0 ? 97 : 0);
      const std::vector<float> head(64, bad);
      write_kv_head(KvFormat::kFp32, head.data(), 64, tile.v.data() + (2 * row + 1) * 256);
      GetParam().kernel(tile.tile);
      for (int64_t i = 0; i < 2 * 7 * 64; ++i) {
        const int64_t position = 93 + i / 64 % 7;
        const bool sees = row == 0 ? position < 97 : position == 99;
        EXPECT_EQ(std::isfinite(tile.values[static_cast<size_t>(i)]), !sees) << "row " << row << ", " << i;
      }
    }
  }
}

std::vector<TileAttentionEntry> kernels_of_this_machine() {
  std::vector<TileAttentionEntry> entries;
  std::copy_if(tile_attention_kernels().begin(), tile_attention_kernels().end(), std::back_inserter(entries),
               [](const TileAttentionEntry& entry) { return machine_has(entry.isa); });
  return entries;
}
INSTANTIATE_TEST_SUITE_P(List, TileAttention, ::testing::ValuesIn(kernels_of_this_machine()),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TileAttention);  // machines without such kernels

TEST(FindTileAttention, TheAskedIsaOrTheNextLower) {
  EXPECT_EQ(find_tile_attention(Isa::kPortable), nullptr);
  EXPECT_EQ(find_tile_attention(every_isa().back()) == nullptr, tile_attention_kernels().empty());
}

}  // namespace
}  // namespace bitloom
