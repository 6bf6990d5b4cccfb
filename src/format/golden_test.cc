// Against ml_dtypes, torch, numpy and normal quantiles: see tests/oracle/format.py.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/test_data.h"
#include "format/format.h"
#include "format/minifloat/cast.h"

namespace bitloom {
namespace {

/// The lines of a golden file: a name and numbers in hexadecimal.
std::vector<std::pair<std::string, std::vector<uint32_t>>> read_golden(const std::string& name) {
  std::ifstream file(testing::golden("format/" + name));
  EXPECT_TRUE(file.good()) << name;
  std::vector<std::pair<std::string, std::vector<uint32_t>>> lines;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key, word;
    words >> key;
    std::vector<uint32_t> numbers;
    while (words >> word) numbers.push_back(static_cast<uint32_t>(std::stoul(word, nullptr, 16)));
    lines.emplace_back(key, numbers);
  }
  return lines;
}

TEST(Golden, DecodesLikeMlDtypes) {
  const auto lines = read_golden("minifloat_decode.txt");
  EXPECT_EQ(lines.size(), 1936u);
  for (const auto& [name, numbers] : lines) {
    const float expected = std::bit_cast<float>(numbers[1]);
    const float value = decode_minifloat(*MinifloatCodec::find(name), static_cast<uint8_t>(numbers[0]));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value)) << name << " " << numbers[0];
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(value), numbers[1]) << name << " " << numbers[0];
    }
  }
}

TEST(Golden, CastsLikeMlDtypes) {
  const CastPolicy loose{CastRounding::kNearestEven, Overflow::kNonSaturate};
  const auto lines = read_golden("minifloat_cast.txt");
  EXPECT_GT(lines.size(), 1500u);
  for (const auto& [name, numbers] : lines) {
    const MinifloatFormat format = *MinifloatCodec::find(name);
    const float x = std::bit_cast<float>(numbers[0]);
    const float expected = decode_minifloat(format, static_cast<uint8_t>(numbers[1]));
    const uint8_t code = cast_minifloat(format, x, loose);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(decode_minifloat(format, code))) << name << " " << x;
      continue;
    }
    EXPECT_EQ(code, numbers[1]) << name << " " << x;
    if (!std::isfinite(expected)) continue;
    uint8_t fast;
    make_encoder(format, Ties::kEven)->encode(&x, 1, &fast);
    EXPECT_EQ(fast, numbers[1]) << name << " " << x;
  }
}

TEST(Golden, RoundsLikeTheFormulaInFloat64) {
  const auto lines = read_golden("exmy_round.txt");
  EXPECT_GT(lines.size(), 2000u);
  for (const auto& [name, numbers] : lines) {
    const float x = std::bit_cast<float>(numbers[0]);
    float z;
    make_encoder(*find_format(name), Ties::kEven)->snap(&x, 1, &z);
    EXPECT_EQ(z, std::bit_cast<float>(numbers[1])) << name << " " << x;
  }
}

TEST(Golden, PublishedTables) {
  const auto lines = read_golden("tables.txt");
  ASSERT_EQ(lines.size(), 3u);
  for (const auto& [name, numbers] : lines) {
    const std::vector<float> levels = grid_of(*find_format(name)).levels;
    ASSERT_EQ(levels.size(), numbers.size()) << name;
    for (size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(std::bit_cast<uint32_t>(levels[i]), numbers[i]) << name << i;
  }
}

}  // namespace
}  // namespace bitloom
