#include "format/side/low_rank.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/test_data.h"
#include "format/test_storage.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

// r products and sums in fp32 beside the base: (r + 1) 2^-24 of the terms' absolute sum.
TEST(LowRank, AddsTheProductOfItsFactors) {
  for (const char* text : {"int4-g32+lowrank3-int8-row", "codebook3-row+lowrank8-codebook4-row",
                           "int2-row+lowrank1-nf4-g8", "int3-row+lowrank64-int8-g16-asym"}) {
    const auto matrix = testing::random_stored(text, 24, 40, 3);
    matrix->check_values("w");
    const std::vector<float> base = testing::base_of(*matrix)->decode_all();
    const std::vector<float> a = testing::factor_of(*matrix, ".low_a")->decode_all();
    const std::vector<float> b = testing::factor_of(*matrix, ".low_b")->decode_all();
    const size_t rank = a.size() / 24;
    EXPECT_EQ(rank, std::min<size_t>(static_cast<size_t>(matrix->spec().side.low_rank.rank), 24));
    const std::vector<float> all = matrix->decode_all();
    for (size_t r = 0; r < 24; ++r) {
      for (size_t c = 0; c < 40; ++c) {
        double sum = base[r * 40 + c], magnitude = std::abs(sum);
        for (size_t k = 0; k < rank; ++k) {
          const double term = static_cast<double>(a[k * 24 + r]) * b[k * 40 + c];
          sum += term, magnitude += std::abs(term);
        }
        ASSERT_NEAR(all[r * 40 + c], sum, static_cast<double>(rank + 2) * 0x1p-24 * magnitude) << text << r << " " << c;
      }
      std::vector<float> row(40);
      matrix->decode_rows(static_cast<int64_t>(r), static_cast<int64_t>(r) + 1, row.data());
      EXPECT_EQ(row, std::vector<float>(all.begin() + static_cast<int64_t>(r) * 40,
                                        all.begin() + static_cast<int64_t>(r) * 40 + 40));
    }
  }
}

// 4096 x 4096, rank 8, 8 bits: 2^-5 bits (papers' floating-point page, 5.6), and a fp16 scale per component.
TEST(LowRank, Bits) {
  const double base = nominal_bits(parse_storage("int4-row"), 4096, 4096);
  EXPECT_DOUBLE_EQ(nominal_bits(parse_storage("int4-row+lowrank8-int8-row"), 4096, 4096) - base,
                   0.03125 + 2 * 8 * 16 / (4096.0 * 4096));
  const auto matrix = testing::random_stored("int4-row+lowrank2-int8-row", 16, 32, 3);
  EXPECT_EQ(matrix->stored_bytes() - testing::base_of(*matrix)->stored_bytes(), 2 * (16 + 2 + 32 + 2));
  EXPECT_DOUBLE_EQ(matrix->nominal_bits(), nominal_bits(matrix->spec(), 16, 32));
}

TEST(LowRank, PartsHaveTheFactorsNames) {
  std::vector<std::string> names;
  for (const TensorPart& part : greatest_parts(parse_storage("int4-row+lowrank4-codebook3-row"), 16, 32)) {
    names.push_back(part.suffix);
  }
  EXPECT_THAT(names, ::testing::ElementsAre(".codes", ".scales", ".low_a.codes", ".low_a.tables", ".low_b.codes",
                                            ".low_b.tables"));
}

TEST(LowRank, SizesAreFixedWhereTheFactorsAre) {
  EXPECT_TRUE(has_fixed_sizes(parse_storage("int4-row+lowrank8-int8-row")));
  EXPECT_FALSE(has_fixed_sizes(parse_storage("int4-row+lowrank8-codebook3-col")));
}

TEST(LowRank, RefusesAndFindsWhatMeansNothing) {
  const Storage storage = parse_storage("int4-row+lowrank2-int8-row");
  auto bytes = testing::random_parts(storage, 8, 16, 3);
  bytes[5] = std::vector<std::byte>(4, std::byte{0x7E});  // .low_b.scales
  EXPECT_EQ(
      message_of(ErrorKind::kUnverified, [&] { stored_from_bytes("w", storage, 8, 16, bytes)->check_values("w"); }),
      "w.low_b.scales: [0, 0] is nan, must be finite");
  bytes[2].pop_back();  // .low_a.codes
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { stored_from_bytes("w", storage, 8, 16, bytes); }),
            "w.low_a.codes: holds 15 bytes, its shape needs 16");
  const auto whole = stored_from_bytes("w", storage, 8, 16, testing::random_parts(storage, 8, 16, 3));
  std::vector<TensorPart> parts = whole->parts();
  parts.erase(parts.begin() + 4);
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { StoredMatrix::from_parts("w", storage, 8, 16, parts, whole); }),
            "w.low_b: its part .codes is missing");
}

TEST(LowRank, EmptyMatrices) {
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{0, 8}, {8, 0}, {0, 0}}) {
    const auto matrix = testing::random_stored("int4-row+lowrank2-int8-row", rows, cols, 3);
    matrix->check_values("w");
    EXPECT_TRUE(matrix->decode_all().empty());
    EXPECT_EQ(matrix->spec(), parse_storage(matrix->storage()));
  }
}

}  // namespace
}  // namespace bitloom
