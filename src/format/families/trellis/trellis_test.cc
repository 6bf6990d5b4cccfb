#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <set>

#include "base/test_data.h"
#include "format/families/trellis/trellis_matrix.h"
#include "format/stored_matrix.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

/// w_e = (40503 e + 12345) mod 2^16: the words of the page's vectors.
std::vector<uint16_t> vector_words(int count) {
  std::vector<uint16_t> words;
  for (int e = 0; e < count; ++e) words.push_back(static_cast<uint16_t>(40503 * e + 12345));
  return words;
}

TEST(TrellisCode, HashOfTheStatesOfThePage) {
  const auto indices = [](uint16_t state) {
    const TrellisIndices at = trellis_indices(state);
    return std::pair(at.first, at.second);
  };
  EXPECT_EQ(indices(0x0000), std::pair(0, 0));
  EXPECT_EQ(indices(0x0001), std::pair(23, 20));
  EXPECT_EQ(indices(0x0002), std::pair(47, 41));
  EXPECT_EQ(indices(0x1234), std::pair(20, 31));
  EXPECT_EQ(indices(0x8000), std::pair(52, 30));
  EXPECT_EQ(indices(0xffff), std::pair(17, 40));
}

TEST(TrellisCode, EveryPairOccurs) {
  std::vector<int> states(64 * 64);
  for (uint32_t s = 0; s < 0x10000; ++s) {
    const TrellisIndices at = trellis_indices(static_cast<uint16_t>(s));
    ++states[static_cast<size_t>(at.first * 64 + at.second)];
  }
  EXPECT_EQ(*std::min_element(states.begin(), states.end()) > 0, true);
  EXPECT_EQ(*std::max_element(states.begin(), states.end()), 17);
}

struct TileVector {
  TrellisCode code;
  int words;
  std::vector<int16_t> first;
  int64_t sum, weighted, squares;
};

TEST(TrellisCode, WholeTilesOfThePage) {
  const TileVector vectors[] = {
      {{2, 2}, 16, {22, -9, -3, 45, -32, -34}, -61, 48147, 646911},
      {{2, 3}, 24, {62, 55, -11, -5, 16, 39}, -455, -26862, 710069},
      {{2, 4}, 32, {58, -16, -55, 27, 5, 42}, -403, -86791, 640009},
      {{1, 5}, 40, {23, 44, 15, -85, 5, 66}, 230, -81765, 1359672},
      {{1, 6}, 48, {41, -27, -17, 47, 66, -57}, -1177, -149974, 1415081},
      {{1, 7}, 56, {13, 69, -86, -43, -27, -16}, -1126, -190402, 1413356},
      {{1, 8}, 64, {138, 31, 47, 21, 34, -5}, -642, -85576, 1349898},
  };
  for (const TileVector& v : vectors) {
    ASSERT_EQ(v.code.words(), v.words);
    int16_t out[kTrellisTile];
    decode_trellis_tile(v.code, vector_words(v.words).data(), 1, out);
    EXPECT_EQ(std::vector<int16_t>(out, out + 6), v.first) << v.code.half_bits;
    int64_t sum = 0, weighted = 0, squares = 0;
    for (int j = 0; j < kTrellisTile; ++j) {
      sum += out[j], weighted += int64_t{j + 1} * out[j], squares += int64_t{out[j]} * out[j];
    }
    EXPECT_EQ(sum, v.sum) << v.code.half_bits;
    EXPECT_EQ(weighted, v.weighted) << v.code.half_bits;
    EXPECT_EQ(squares, v.squares) << v.code.half_bits;
  }
}

TEST(TrellisCode, TwelveBitStatesAreWindowsOfTheirOwn) {
  const TrellisCode code{2, 4, 12};
  int16_t out[kTrellisTile];
  const std::vector<uint16_t> words = vector_words(32);
  decode_trellis_tile(code, words.data(), 1, out);
  // Step 3 ends at bit 16: its window is the last 12 bits of word 0.
  const TrellisIndices at = trellis_indices(static_cast<uint16_t>(words[0] << 4));
  EXPECT_EQ(out[6], kTrellisTable[static_cast<size_t>(at.first)]);
  EXPECT_EQ(out[7], kTrellisTable[static_cast<size_t>(at.second)]);
}

TEST(TrellisCode, EveryValueHasAPlaceOfItsOwn) {
  for (const int values : {1, 2}) {
    std::set<std::pair<int, int>> places;
    for (int i = 0; i < kTrellisTile; ++i) {
      const TrellisPlace at = trellis_place({values, 4}, i);
      EXPECT_TRUE(at.row >= 0 && at.row < 16 && at.col >= 0 && at.col < 16);
      places.insert({at.row, at.col});
    }
    EXPECT_EQ(places.size(), 256u);
  }
  EXPECT_EQ(trellis_place({2, 4}, 33).col, 3);  // step 16: row 0, columns 2 and 3
  EXPECT_EQ(trellis_place({1, 4}, 33).row, 1);  // step 33: row 1, column 2
}

TEST(TrellisStorage, TextRoundTrips) {
  for (const char* text : {"trellis1", "trellis1.5", "trellis2", "trellis2-v1", "trellis2.5", "trellis2.5-v2",
                           "trellis5", "trellis2-l12", "trellis3-v2-l12"}) {
    EXPECT_EQ(to_string(parse_trellis(text)), text);
    EXPECT_EQ(to_string(parse_storage(text)), text);
  }
  EXPECT_EQ(parse_trellis("trellis2").code, (TrellisCode{2, 4, 16}));
  EXPECT_EQ(parse_trellis("trellis2.5").code, (TrellisCode{1, 5, 16}));
  EXPECT_EQ(to_string(parse_trellis("trellis2-v2")), "trellis2");
  EXPECT_EQ(to_string(parse_storage("trellis2+frame-in512-out512")), "trellis2+frame-in512-out512");
}

TEST(TrellisStorage, RefusesWhatMeansNothing) {
  for (const char* text : {"trellis0.5", "trellis0", "trellis5.5", "trellis2.25", "trellis1.7", "trellis99999999999"}) {
    EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { parse_trellis(text); }),
                HasSubstr("1 to 5 bits a weight, in halves"))
        << text;
  }
  EXPECT_THAT(message_of(ErrorKind::kUsage, [] { parse_trellis("trellis4.5-v2"); }), HasSubstr("at most 4 bits"));
  EXPECT_THAT(message_of(ErrorKind::kUsage, [] { parse_trellis("trellis2-v1-v2"); }), HasSubstr("contradicts"));
  EXPECT_THAT(message_of(ErrorKind::kUsage, [] { parse_storage("trellis2-g64"); }), HasSubstr("unknown option"));
}

TEST(TrellisLayout, TilesFillTheirPartOnceEach) {
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{512, 64}, {576, 96}, {1, 1}, {17, 33}, {300, 40}}) {
    const TrellisCode code{2, 4};
    const TrellisLayout layout(code, rows, cols);
    std::set<int64_t> seen;
    for (int64_t i = 0; i < layout.tile_rows(); ++i) {
      for (int64_t j = 0; j < layout.tile_cols(); ++j) {
        const TrellisLayout::Place at = layout.place(i, j);
        for (int e = 0; e < code.words(); ++e) seen.insert(at.first + e * at.stride);
      }
    }
    EXPECT_EQ(static_cast<int64_t>(seen.size()), layout.words()) << rows << " x " << cols;
    EXPECT_EQ(*seen.rbegin(), layout.words() - 1);
  }
  // One word of 32 tiles is a vector: lane 2j + c is row group j, column half c.
  const TrellisLayout layout({2, 4}, 512, 64);
  EXPECT_EQ(layout.place(3, 1).first, 2 * 3 + 1);
  EXPECT_EQ(layout.place(3, 1).stride, 32);
  EXPECT_EQ(layout.place(16, 2).first, (32 * 2 + 32) * 32);
}

/// [rows, cols] of words that differ everywhere.
std::shared_ptr<const StoredMatrix> matrix(const char* text, int64_t rows, int64_t cols, float scale = 0.5f) {
  const TrellisStorage storage = parse_trellis(text);
  const TrellisLayout layout(storage.code, rows, cols);
  std::vector<uint16_t> tiles = vector_words(static_cast<int>(layout.words()));
  const bool padded = (layout.tile_cols() - 1) * 16 >= cols;
  for (int64_t i = 0; padded && i < layout.tile_rows(); ++i) {
    const int64_t words = storage.code.words(), end = (i + 1) * layout.tile_cols() * words;
    std::fill(tiles.begin() + end - words, tiles.begin() + end, uint16_t{0});
  }
  return stored_from_bytes("w", parse_storage(text), rows, cols, pack_trellis(storage, rows, cols, tiles, scale));
}

TEST(TrellisMatrix, DecodesTilesWhereTheyLie) {
  for (const char* text : {"trellis1", "trellis2", "trellis2-l12", "trellis2.5", "trellis4", "trellis3-v2"}) {
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{40, 50}, {300, 33}, {512, 64}, {1, 1}}) {
      const auto w = matrix(text, rows, cols);
      w->check_values("w");
      const std::vector<float> all = w->decode_all();
      const TrellisCode code = parse_trellis(text).code;
      const TrellisLayout layout(code, rows, cols);
      const std::vector<uint16_t> tiles = vector_words(static_cast<int>(layout.words()));
      for (int64_t i = 0; i < layout.tile_rows(); ++i) {
        for (int64_t j = 0; j * 16 < cols; ++j) {
          int16_t out[kTrellisTile];
          decode_trellis_tile(code, tiles.data() + (i * layout.tile_cols() + j) * code.words(), 1, out);
          for (int v = 0; v < kTrellisTile; ++v) {
            const int64_t r = i * 16 + trellis_place(code, v).row, c = j * 16 + trellis_place(code, v).col;
            if (r >= rows || c >= cols) continue;
            ASSERT_EQ(all[static_cast<size_t>(r * cols + c)], 0.5f * out[v]) << text;
          }
        }
      }
      // Any run of rows is cut from the same.
      const int64_t begin = rows / 3, end = rows - rows / 4;
      std::vector<float> some(static_cast<size_t>((end - begin) * cols));
      w->decode_rows(begin, end, some.data());
      EXPECT_EQ(some, std::vector<float>(all.begin() + begin * cols, all.begin() + end * cols));
    }
  }
}

TEST(TrellisMatrix, BitsAreTheTilesAndAScale) {
  EXPECT_DOUBLE_EQ(matrix("trellis1.5", 64, 64)->nominal_bits(), 1.5);
  EXPECT_DOUBLE_EQ(matrix("trellis1.5", 64, 64)->true_bits(), 1.5 + 32.0 / (64 * 64));
  EXPECT_DOUBLE_EQ(matrix("trellis2", 17, 33)->true_bits(), (2.0 * 32 * 64 + 32) / (17 * 33)) << "padding counts";
}

TEST(TrellisMatrix, RefusesAndFindsWhatMeansNothing) {
  const Storage storage = parse_storage("trellis2");
  auto bytes = pack_trellis(parse_trellis("trellis2"), 16, 16, vector_words(64), 1);
  EXPECT_EQ(
      message_of(ErrorKind::kUnverified, [&] { stored_from_bytes("w", storage, 16, 16, bytes)->check_values("w"); }),
      "w.codes: the tile beyond the last column of tile row 0 is not zero");
  for (const float scale : {-1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    EXPECT_THAT(message_of(ErrorKind::kUnverified, [&] { matrix("trellis2", 16, 32, scale)->check_values("w"); }),
                HasSubstr("w.scale: is"));
  }
  bytes[0].pop_back();
  bytes[0].pop_back();
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { stored_from_bytes("w", storage, 16, 16, bytes); }),
              HasSubstr("w.codes: shape is [63], trellis2 needs [64]"));
}

}  // namespace
}  // namespace bitloom
