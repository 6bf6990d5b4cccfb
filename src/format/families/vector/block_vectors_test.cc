#include "format/families/vector/block_vectors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "base/test_data.h"
#include "format/stored_matrix.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

struct Contents {
  std::vector<uint16_t> codes;
  std::vector<int8_t> codebooks;
  std::vector<float> scales;
  LogScales log_scales;
};

/// Codes and bytes of every bit pattern, scales of fp16.
Contents random_contents(const BlockVectorStorage& s, int64_t rows, int64_t cols) {
  Rng rng(1, 3);
  Contents contents;
  const int64_t groups = (cols + s.group - 1) / s.group, blocks = VectorBlocks(s, rows, cols).count();
  for (int64_t i = 0; i < rows * groups; ++i) {
    contents.codes.push_back(static_cast<uint16_t>(rng.next_u32() % static_cast<uint32_t>(s.entries())));
  }
  for (int64_t i = 0; i < blocks * s.entries() * s.group; ++i) {
    contents.codebooks.push_back(static_cast<int8_t>(rng.next_u32() % 256));
  }
  for (int64_t i = 0; i < blocks; ++i) contents.scales.push_back(static_cast<float>(rng.next_u32() % 512) / 256);
  if (s.scaled == 0) return contents;
  for (int64_t i = 0; i < rows * ((cols + s.scaled - 1) / s.scaled); ++i) {
    contents.log_scales.codes.push_back(static_cast<uint16_t>(rng.next_u32() % 16));
  }
  for (int64_t i = 0; i < blocks; ++i) {
    contents.log_scales.steps.push_back(static_cast<float>(rng.next_u32() % 513) / 512);
  }
  return contents;
}

std::vector<std::vector<std::byte>> packed(const BlockVectorStorage& s, int64_t rows, int64_t cols, const Contents& c) {
  return pack_block_vectors(s, rows, cols, c.codes, c.codebooks, c.scales, c.log_scales);
}

TEST(BlockVectorStorage, TextRoundTrips) {
  for (const char* text : {"vq8-g4", "vq4-g2", "vq2-g1", "vq8-g4-r128", "vq6-g2-r16-c512", "vq8-g8-c64", "vq1-g1-r256",
                           "vq8-g4-s64", "vq4-g2-r16-c512-s8"}) {
    EXPECT_EQ(to_string(parse_storage(text)), text);
  }
  EXPECT_EQ(to_string(parse_storage("vq8")), "vq8-g4");
  EXPECT_EQ(to_string(parse_storage("vq4-g2-r8-c256")), "vq4-g2");
  EXPECT_EQ(to_string(parse_storage("vq2-g1-r1")), "vq2-g1");
  EXPECT_EQ(to_string(parse_storage("vq8-g4+frame-in64")), "vq8-g4+frame-in64");
}

TEST(BlockVectorStorage, RefusesWhatMeansNothing) {
  for (const char* text : {"vq0", "vq9-g4", "vq2x8", "vq1.5"}) {
    EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { parse_storage(text); }), HasSubstr("should be vqB-gG")) << text;
  }
  for (const char* option : {"g0", "g3", "g16", "r0", "r3", "r512", "c4", "c70000", "gx", "s0", "s4", "s24", "s512"}) {
    const std::string text = std::string("vq8-") + option;
    EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { parse_storage(text); }),
                HasSubstr(std::string("should be -") + option[0] + "N"))
        << text;
  }
  EXPECT_EQ(
      message_of(ErrorKind::kUsage, [] { parse_storage("vq8-g4-s64-c32"); }),
      "\"vq8-g4-s64-c32\": -c32 should be a multiple of 64: blocks are cut into whole runs of the columns that share "
      "a scale, -s64");
  EXPECT_THAT(message_of(ErrorKind::kUsage, [] { parse_storage("vq8-g4-c100-s64"); }), HasSubstr("a multiple of 64"));
  EXPECT_THAT(message_of(ErrorKind::kUsage, [] { parse_storage("vq8-row"); }), HasSubstr("should be -rN"));
  EXPECT_THAT(message_of(ErrorKind::kUsage, [] { parse_storage("vq8-g4-g4"); }), HasSubstr("repeats"));
}

TEST(BlockVectorStorage, Widths) {
  std::vector<std::string> texts;
  for (const Storage& storage : at_all_widths(parse_storage("vq4-g2"))) texts.push_back(to_string(storage));
  EXPECT_THAT(texts, ElementsAre("vq2-g2", "vq3-g2", "vq4-g2", "vq5-g2", "vq6-g2", "vq7-g2", "vq8-g2"));
}

// Section 4.1: 2 bits an index, and codebooks of 8 bits for 256, 2048 or 65536 weights.
TEST(BlockVectorStorage, NominalBitsOfThePapersSettings) {
  for (const char* text : {"vq2-g1", "vq4-g2", "vq8-g4"}) {
    EXPECT_DOUBLE_EQ(nominal_bits(parse_storage(text), 4096, 4096), 2.125) << text;
  }
  // Scales of 4 bits for every 64 weights, paid for by blocks twice as large.
  EXPECT_DOUBLE_EQ(nominal_bits(parse_storage("vq8-g4-c512-s64"), 4096, 4096), 2.125);
  EXPECT_DOUBLE_EQ(nominal_bits(parse_storage("vq8-g4-c512-s64"), 0, 0), 2.125);
  const BlockVectorStorage scaled = parse_block_vectors("vq8-g4-s64");
  const auto with_scales = stored_from_bytes("w", parse_storage("vq8-g4-s64"), 512, 512,
                                             packed(scaled, 512, 512, random_contents(scaled, 512, 512)));
  EXPECT_DOUBLE_EQ(with_scales->nominal_bits(), 2.1875);
  EXPECT_NEAR(with_scales->true_bits(), 2.1875 + 32.0 / 65536, 1e-12);
  // 512 x 512 in tiles of 256 x 256 with a scale in fp16: what the file has.
  const BlockVectorStorage s = parse_block_vectors("vq8-g4");
  const auto w =
      stored_from_bytes("w", parse_storage("vq8-g4"), 512, 512, packed(s, 512, 512, random_contents(s, 512, 512)));
  EXPECT_DOUBLE_EQ(w->nominal_bits(), 2.125);
  EXPECT_NEAR(w->true_bits(), 2.125 + 16.0 / 65536, 1e-12);
}

// Runs of columns are as near the asked width as their number allows: 576 columns are two of 288, not two and a
// quarter.
TEST(BlockVectorStorage, BlocksOfColumnsAreEven) {
  const auto of = [](const char* text, int64_t rows, int64_t cols) {
    const VectorBlocks blocks(parse_block_vectors(text), rows, cols);
    return std::vector<int64_t>{blocks.height, blocks.width, blocks.down, blocks.across};
  };
  EXPECT_THAT(of("vq8-g4", 576, 576), ElementsAre(256, 288, 3, 2));
  EXPECT_THAT(of("vq8-g4", 576, 1536), ElementsAre(256, 256, 3, 6));
  EXPECT_THAT(of("vq4-g2", 9, 100), ElementsAre(8, 100, 2, 1));
  EXPECT_THAT(of("vq8-g8-c16", 1, 39), ElementsAre(256, 24, 1, 2)) << "two runs of 20, in whole vectors 24 and 15";
  EXPECT_THAT(of("vq8-g4-s64", 576, 576), ElementsAre(256, 320, 3, 2)) << "whole runs of 64";
  EXPECT_THAT(of("vq8-g4", 0, 100), ElementsAre(256, 1, 0, 0));
}

TEST(BlockVectorStorage, RefusesCodebooksLargerThanTheMatrix) {
  check_worthwhile("w", parse_block_vectors("vq8-g4"), 576, 576);
  EXPECT_EQ(message_of(ErrorKind::kUsage, [] { check_worthwhile("w", parse_block_vectors("vq8-g4"), 4, 64); }),
            "w: vq8-g4 would take 34.0 bits for each weight of [4, 64], more than fp16: most of them its codebooks'");
}

// Two rows of twelve columns, whose first eight share a scale and the last four another: the codebook is -2, 3 times a
// half, the step 1/2, and the codes of scales 15, 13 and 3, 14.
TEST(BlockVectorMatrix, DecodesScalesAsWrittenByHand) {
  const std::vector<uint16_t> codes = {0, 1, 1, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 1};
  const auto w = stored_from_bytes(
      "w", parse_storage("vq1-g1-r2-s8"), 2, 12,
      pack_block_vectors(parse_block_vectors("vq1-g1-r2-s8"), 2, 12, codes, std::vector<int8_t>{-2, 3},
                         std::vector<float>{0.5f}, {{15, 13, 3, 14}, {0.5f}}));
  const std::vector<float> all = w->decode_all();
  const float scales[2][2] = {{1, 0.5f}, {0x1p-6f, std::sqrt(0.5f)}};
  for (size_t r = 0; r < 2; ++r) {
    for (size_t c = 0; c < 12; ++c) {
      EXPECT_FLOAT_EQ(all[r * 12 + c], (codes[r * 12 + c] == 0 ? -1.0f : 1.5f) * scales[r][c / 8]) << r << " " << c;
    }
  }
}

TEST(BlockVectorMatrix, DecodesVectorsOfABlocksCodebook) {
  for (const char* text : {"vq8-g4", "vq4-g2", "vq2-g1", "vq3-g4-r16-c32", "vq5-g8-r2-c16", "vq8-g1-r128", "vq8-g4-s8",
                           "vq3-g2-r16-c32-s16", "vq3-g2-r64-c32-s16"}) {
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{16, 32}, {257, 24}, {5, 13}, {1, 1}, {530, 100}}) {
      const BlockVectorStorage s = parse_block_vectors(text);
      const Contents contents = random_contents(s, rows, cols);
      const auto w = stored_from_bytes("w", parse_storage(text), rows, cols, packed(s, rows, cols, contents));
      w->check_values("w");
      const std::vector<float> all = w->decode_all();
      const VectorBlocks blocks(s, rows, cols);
      const int64_t groups = (cols + s.group - 1) / s.group;
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
          const int64_t block = r / s.rows * blocks.across + c / blocks.width;
          const int64_t code = contents.codes[static_cast<size_t>(r * groups + c / s.group)];
          const int value =
              contents.codebooks[static_cast<size_t>((block * s.entries() + code) * s.group + c % s.group)];
          float scale = 1;
          if (s.scaled != 0) {
            const int64_t runs = (cols + s.scaled - 1) / s.scaled;
            scale = log_scale_table(contents.log_scales.steps[static_cast<size_t>(
                block)])[contents.log_scales.codes[static_cast<size_t>(r * runs + c / s.scaled)]];
          }
          ASSERT_EQ(all[static_cast<size_t>(r * cols + c)],
                    contents.scales[static_cast<size_t>(block)] * static_cast<float>(value) * scale)
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

TEST(BlockVectorMatrix, RefusesAndFindsWhatMeansNothing) {
  const BlockVectorStorage s = parse_block_vectors("vq4-g2-r2-c8");
  const Storage storage = parse_storage("vq4-g2-r2-c8");
  const auto bytes = packed(s, 5, 16, random_contents(s, 5, 16));
  const auto found = [&](const std::vector<std::vector<std::byte>>& changed) {
    return message_of(ErrorKind::kUnverified,
                      [&] { stored_from_bytes("w", storage, 5, 16, changed)->check_values("w"); });
  };
  auto changed = bytes;
  changed[0][5] |= std::byte{0xf0};
  EXPECT_EQ(found(changed), "w.codes: padding bits of rows from 0, group 1, codebook 0 are not zero");
  changed = bytes;
  changed[2][2 * 3 + 1] = std::byte{0xbc}, changed[2][2 * 3] = std::byte{0};
  EXPECT_EQ(found(changed), "w.scales: [1, 1] is -1, must be finite and not negative");
  changed = bytes;
  changed[0].pop_back();
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { stored_from_bytes("w", storage, 5, 16, changed); }),
              HasSubstr("w.codes: shape is"));
}

TEST(BlockVectorMatrix, FindsScalesThatMeanNothing) {
  const BlockVectorStorage s = parse_block_vectors("vq8-g4-r8-c8-s8");
  const auto bytes = packed(s, 5, 16, random_contents(s, 5, 16));
  const auto found = [&](const std::vector<std::vector<std::byte>>& changed) {
    return message_of(ErrorKind::kUnverified, [&] {
      stored_from_bytes("w", parse_storage("vq8-g4-r8-c8-s8"), 5, 16, changed)->check_values("w");
    });
  };
  auto changed = bytes;
  changed[3][5] |= std::byte{0xf0};
  EXPECT_EQ(found(changed), "w.scale_codes: padding bits of rows from 0, group 1, codebook 0 are not zero");
  changed = bytes;
  changed[4][2] = std::byte{0}, changed[4][3] = std::byte{0x45};
  EXPECT_EQ(found(changed), "w.scale_steps: [0, 1] is 5, must be from 0 to 1");
}

}  // namespace
}  // namespace bitloom
