#include "packing/bitstream.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

namespace bitloom {
namespace {

/// The layout by its definition: bit b of code i is bit bits * i + b of the stream.
std::vector<std::byte> pack_by_definition(const std::vector<uint8_t>& codes, int bits) {
  std::vector<std::byte> out(static_cast<size_t>(bitstream_bytes(bits, static_cast<int64_t>(codes.size()))));
  for (size_t i = 0; i < codes.size(); ++i) {
    for (int b = 0; b < bits; ++b) {
      const size_t at = static_cast<size_t>(bits) * i + static_cast<size_t>(b);
      if ((codes[i] >> b) & 1) out[at / 8] |= std::byte{1} << (at % 8);
    }
  }
  return out;
}

std::vector<uint8_t> random_codes(int64_t count, int bits, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> codes(static_cast<size_t>(count));
  for (uint8_t& code : codes) code = static_cast<uint8_t>(random() & ((1u << bits) - 1));
  return codes;
}

class Width : public ::testing::TestWithParam<int> {};

TEST_P(Width, PacksAsDefinedForEveryCount) {
  const int bits = GetParam();
  for (int64_t count = 0; count <= 131; ++count) {
    const std::vector<uint8_t> codes = random_codes(count, bits, 1);
    const std::vector<std::byte> expected = pack_by_definition(codes, bits);
    std::vector<std::byte> out(expected.size() + 9, std::byte{0xA5});
    pack_bits(codes.data(), count, bits, out.data());
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), out.begin())) << count;
    for (size_t i = expected.size(); i < out.size(); ++i) EXPECT_EQ(out[i], std::byte{0xA5}) << count << " byte " << i;
  }
}

TEST_P(Width, UnpacksEveryRun) {
  const int bits = GetParam();
  const int64_t count = 67;
  const std::vector<uint8_t> codes = random_codes(count, bits, 2);
  const std::vector<std::byte> stream = pack_by_definition(codes, bits);
  // A buffer of exactly the row's size, so that a sanitizer sees any read beyond it.
  const std::unique_ptr<std::byte[]> row(new std::byte[stream.size()]);
  std::copy(stream.begin(), stream.end(), row.get());
  for (int64_t first = 0; first <= count; ++first) {
    for (int64_t n = 0; first + n <= count; ++n) {
      std::vector<uint8_t> out(static_cast<size_t>(n) + 9, 0xEE);
      unpack_bits(row.get(), first, n, bits, out.data());
      ASSERT_TRUE(std::equal(out.begin(), out.begin() + n, codes.begin() + first)) << first << "+" << n;
      for (size_t i = static_cast<size_t>(n); i < out.size(); ++i) ASSERT_EQ(out[i], 0xEE) << first << "+" << n;
    }
  }
}

TEST_P(Width, TellsWhetherPaddingIsZero) {
  const int bits = GetParam();
  for (int64_t count = 1; count <= 24; ++count) {
    const std::vector<uint8_t> codes(static_cast<size_t>(count), static_cast<uint8_t>((1 << bits) - 1));
    std::vector<std::byte> row = pack_by_definition(codes, bits);
    EXPECT_TRUE(padding_is_zero(row.data(), count, bits)) << count;
    for (int64_t bit = bits * count; bit < 8 * static_cast<int64_t>(row.size()); ++bit) {
      const std::byte kept = row.back();
      row.back() |= std::byte{1} << (bit % 8);
      EXPECT_FALSE(padding_is_zero(row.data(), count, bits)) << count << " bit " << bit;
      row.back() = kept;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Width, ::testing::Range(1, 9));

TEST(Bitstream, CountsBytes) {
  EXPECT_EQ(bitstream_bytes(3, 8), 3);
  EXPECT_EQ(bitstream_bytes(3, 9), 4);
  EXPECT_EQ(bitstream_bytes(6, 4), 3);
  EXPECT_EQ(bitstream_bytes(1, 0), 0);
  EXPECT_EQ(bitstream_bytes(8, int64_t{1} << 40), int64_t{1} << 40);
}

TEST(Bitstream, FirstElementIsInTheLowNibble) {
  const uint8_t codes[] = {0x1, 0x2, 0xF};
  std::byte out[2];
  pack_bits(codes, 3, 4, out);
  EXPECT_EQ(out[0], std::byte{0x21});
  EXPECT_EQ(out[1], std::byte{0x0F});
}

}  // namespace
}  // namespace bitloom
