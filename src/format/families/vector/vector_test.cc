#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/rng.h"
#include "base/test_data.h"
#include "format/families/vector/vector_matrix.h"
#include "format/stored_matrix.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

/// Numbers of fp16 and codes of every bit pattern.
struct Contents {
  std::vector<uint16_t> codes;
  std::vector<float> codebooks, scales;
};

Contents random_contents(const VectorStorage& s, int64_t rows, int64_t cols) {
  Rng rng(1, 1);
  const auto numbers = [&](int64_t count) {
    std::vector<float> values;
    for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<float>(rng.next_u32() % 512) / 256);
    return values;
  };
  Contents contents;
  const int64_t groups = (cols + s.group - 1) / s.group;
  for (int64_t i = 0; i < rows * groups * s.codebooks; ++i) {
    contents.codes.push_back(static_cast<uint16_t>(rng.next_u32() % static_cast<uint32_t>(s.entries())));
  }
  contents.codebooks = numbers(s.codebooks * s.entries() * s.group);
  contents.scales = numbers(rows);
  return contents;
}

std::vector<std::vector<std::byte>> packed(const VectorStorage& s, int64_t rows, int64_t cols, const Contents& c) {
  return pack_vectors(s, rows, cols, c.codes, c.codebooks, c.scales);
}

TEST(VectorStorage, TextRoundTrips) {
  for (const char* text : {"aq2x8-g8", "aq1x16-g8", "aq4x4-g8", "aq8x8-g32", "aq1x1-g1", "aq16x12-g64"}) {
    EXPECT_EQ(to_string(parse_storage(text)), text);
  }
  EXPECT_EQ(to_string(parse_storage("aq2x8")), "aq2x8-g8");
  EXPECT_EQ(to_string(parse_storage("aq2x8-g8+frame-in64")), "aq2x8-g8+frame-in64");
}

TEST(VectorStorage, RefusesWhatMeansNothing) {
  for (const char* text : {"aq0x8-g8", "aq2x0-g8", "aq2x17-g8", "aq17x8-g8", "aq2-g8", "aq2x8x2-g8", "aq2xx-g8"}) {
    EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { parse_storage(text); }), HasSubstr("should be aqMxB-gG")) << text;
  }
  for (const char* text : {"aq2x8-g0", "aq2x8-g65", "aq2x8-gx"}) {
    EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { parse_storage(text); }), HasSubstr("should be -gN")) << text;
  }
  EXPECT_THAT(message_of(ErrorKind::kUsage, [] { parse_storage("aq2x8-row"); }), HasSubstr("unknown option"));
  EXPECT_THAT(message_of(ErrorKind::kUsage, [] { parse_storage("aq2x8-g8-g8"); }), HasSubstr("repeats"));
}

TEST(VectorStorage, Widths) {
  std::vector<std::string> texts;
  for (const Storage& storage : at_all_widths(parse_storage("aq2x8-g8"))) texts.push_back(to_string(storage));
  EXPECT_THAT(texts, ElementsAre("aq1x8-g8", "aq2x8-g8", "aq3x8-g8", "aq4x8-g8"));
}

/// Of the linear layers of Llama-2-7B, as AQLM's tables count them (papers' learned page, 1.2).
double bits_of_llama(const char* text) {
  const Storage storage = parse_storage(text);
  double bits = 0, weights = 0;
  const std::pair<int64_t, int64_t> shapes[] = {{4096, 4096},  {4096, 4096},  {4096, 4096}, {4096, 4096},
                                                {11008, 4096}, {11008, 4096}, {4096, 11008}};
  for (const auto& [rows, cols] : shapes) {
    const auto count = static_cast<double>(rows * cols);
    bits += nominal_bits(storage, rows, cols) * count, weights += count;
  }
  return bits / weights;
}

TEST(VectorStorage, NominalBitsAreThePapers) {
  EXPECT_NEAR(nominal_bits(parse_storage("aq2x8-g8"), 28672, 8192), 2.0022, 5e-5);
  EXPECT_NEAR(bits_of_llama("aq1x16-g8"), 2.294, 5e-4);
  EXPECT_NEAR(bits_of_llama("aq2x8-g8"), 2.006, 5e-4);
  EXPECT_NEAR(bits_of_llama("aq2x12-g8"), 3.040, 5e-4);
  EXPECT_NEAR(bits_of_llama("aq1x15-g8"), 2.023, 5e-4);
}

TEST(VectorStorage, RefusesCodebooksLargerThanTheMatrix) {
  const VectorStorage large = parse_vector("aq1x16-g8");
  check_worthwhile("w", large, 4096, 4096);
  check_worthwhile("w", parse_vector("aq2x8-g8"), 576, 576);
  EXPECT_EQ(message_of(ErrorKind::kUsage, [&] { check_worthwhile("w", large, 576, 576); }),
            "w: aq1x16-g8 would take 27.3 bits for each weight of [576, 576], 25.3 of them its codebooks', more than "
            "fp16; aq1x11-g8 would take 2.19");
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { check_worthwhile("w", large, 2, 8); }),
              ::testing::EndsWith("more than fp16"));
}

TEST(VectorMatrix, DecodesSumsOfVectorsTimesARowsScale) {
  for (const char* text : {"aq2x8-g8", "aq1x16-g8", "aq3x11-g4", "aq4x4-g8", "aq1x1-g3", "aq2x3-g16"}) {
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{16, 32}, {257, 24}, {5, 13}, {1, 1}, {530, 8}}) {
      const VectorStorage s = parse_vector(text);
      const Contents contents = random_contents(s, rows, cols);
      const auto w = stored_from_bytes("w", parse_storage(text), rows, cols, packed(s, rows, cols, contents));
      w->check_values("w");
      EXPECT_EQ(unpack_codes(s, rows, cols, w->find_part(".codes")->bytes), contents.codes) << text;
      const std::vector<float> all = w->decode_all();
      const int64_t groups = (cols + s.group - 1) / s.group;
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
          float sum = 0;
          for (int64_t m = 0; m < s.codebooks; ++m) {
            const uint16_t code = contents.codes[static_cast<size_t>((r * groups + c / s.group) * s.codebooks + m)];
            sum += contents.codebooks[static_cast<size_t>((m * s.entries() + code) * s.group + c % s.group)];
          }
          ASSERT_EQ(all[static_cast<size_t>(r * cols + c)], contents.scales[static_cast<size_t>(r)] * sum)
              << text << " [" << r << ", " << c << "]";
        }
      }
      // Any run of rows is cut from the same.
      const int64_t begin = rows / 3, end = rows - rows / 4;
      std::vector<float> some(static_cast<size_t>((end - begin) * cols));
      w->decode_rows(begin, end, some.data());
      EXPECT_EQ(some, std::vector<float>(all.begin() + begin * cols, all.begin() + end * cols)) << text;
    }
  }
}

// What the kernels rely on: all rows' codes of a codebook together, tile by tile.
TEST(VectorLayout, CodesOfATileLieGroupByGroup) {
  const VectorStorage s{2, 8, 8};
  Contents contents = random_contents(s, 300, 16);
  const auto bytes = packed(s, 300, 16, contents)[0];
  ASSERT_EQ(bytes.size(), 300u * 2 * 2);
  const auto code = [&](size_t row, size_t group, size_t m) { return contents.codes[(row * 2 + group) * 2 + m]; };
  EXPECT_EQ(std::to_integer<int>(bytes[7]), code(7, 0, 0));
  EXPECT_EQ(std::to_integer<int>(bytes[256 + 7]), code(7, 0, 1));
  EXPECT_EQ(std::to_integer<int>(bytes[2 * 256 + 255]), code(255, 1, 0));
  EXPECT_EQ(std::to_integer<int>(bytes[4 * 256 + 3]), code(259, 0, 0));
  EXPECT_EQ(std::to_integer<int>(bytes[4 * 256 + 3 * 44 + 43]), code(299, 1, 1));
}

TEST(VectorMatrix, NominalBitsAreThoseOfTheFile) {
  for (const char* text : {"aq2x8-g8", "aq1x12-g8", "aq4x4-g8"}) {
    const VectorStorage s = parse_vector(text);
    const auto w =
        stored_from_bytes("w", parse_storage(text), 512, 64, packed(s, 512, 64, random_contents(s, 512, 64)));
    EXPECT_NEAR(w->true_bits(), nominal_bits(parse_storage(text), 512, 64), 1e-12) << text;
    EXPECT_DOUBLE_EQ(w->nominal_bits(), nominal_bits(parse_storage(text), 512, 64)) << text;
  }
}

TEST(VectorMatrix, RefusesAndFindsWhatMeansNothing) {
  const VectorStorage s{1, 4, 8};
  const Storage storage = parse_storage("aq1x4-g8");
  const auto bytes = packed(s, 5, 16, random_contents(s, 5, 16));
  const auto found = [&](const std::vector<std::vector<std::byte>>& changed) {
    return message_of(ErrorKind::kUnverified,
                      [&] { stored_from_bytes("w", storage, 5, 16, changed)->check_values("w"); });
  };
  auto changed = bytes;
  changed[0][5] |= std::byte{0xf0};
  EXPECT_EQ(found(changed), "w.codes: padding bits of rows from 0, group 1, codebook 0 are not zero");
  changed = bytes;
  changed[1][2 * (8 + 3) + 1] = std::byte{0x7c}, changed[1][2 * (8 + 3)] = std::byte{0};
  EXPECT_EQ(found(changed), "w.codebooks: [0, 1, 3] is inf, must be finite");
  changed = bytes;
  changed[2][3] = std::byte{0xbc}, changed[2][2] = std::byte{0};
  EXPECT_EQ(found(changed), "w.scales: [1] is -1, must be finite and not negative");
  changed = bytes;
  changed[0].pop_back();
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { stored_from_bytes("w", storage, 5, 16, changed); }),
            "w.codes: shape is [5], aq1x4-g8 needs [6]");
}

}  // namespace
}  // namespace bitloom
