#include "format/families/planes/planes_matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/test_data.h"
#include "format/stored_matrix.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Planes, TextRoundTrips) {
  for (const char* text :
       {"planes-g128", "planes-g64-zeromean", "planes-g32-residual-fp8", "planes-g512-residual-zeromean-fp8"}) {
    EXPECT_EQ(to_string(parse_storage(text)), text);
  }
  EXPECT_EQ(to_string(parse_storage("planes")), "planes-g128");
  EXPECT_EQ(to_string(parse_storage("planes-fp8+outliers0.01")), "planes-g128-fp8+outliers0.01");
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [] { parse_storage("planes-g0"); }), HasSubstr("-gN"));
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [] { parse_storage("planes-asym"); }),
              HasSubstr("unknown option \"-asym\""));
}

/// Of both classes, in the order 2 second + sign.
TEST(Planes, LevelsMakeValues) {
  float value[2][4];
  PlaneLevels{0.5f, 1, -1, 4, 0.25f, 2, 0.5f}.values(value);
  EXPECT_THAT(value[0], ElementsAre(-0.5f, 1.5f, -5, 3));
  for (int code = 0; code < 4; ++code) {
    EXPECT_EQ((PlaneLevels{0.5f, 1, -1, 4, 0.25f, 2, 0.5f}.value(false, code)), value[0][code]);
    EXPECT_EQ((PlaneLevels{0.5f, 1, -1, 4, 0.25f, 2, 0.5f}.value(true, code)), value[1][code]);
  }
  EXPECT_THAT(value[1], ElementsAre(-2.25f, 1.75f, -1.25f, 2.75f));
}

constexpr int64_t kRows = 3, kCols = 10;

std::shared_ptr<const StoredMatrix> matrix(const char* text, const std::vector<uint8_t>& codes,
                                           const std::vector<uint8_t>& salient, std::vector<PlaneLevels> levels) {
  const Storage storage = parse_storage(text);
  const auto& planes = storage.base.get<PlanesStorage>();
  const std::vector<float> scales(kRows, level_scale(planes, 8));
  for (PlaneLevels& l : levels) round_levels(planes, scales[0], l);
  return stored_from_bytes("w", storage, kRows, kCols,
                           pack_planes(planes, kRows, kCols, codes, salient, levels, scales));
}

/// Two blocks, of 8 columns and of 2.
TEST(Planes, DecodeWhatWasPacked) {
  std::vector<uint8_t> codes(kRows * kCols), salient(kCols, 0);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = i * 7 % 4;
  salient[2] = salient[9] = 1;
  std::vector<PlaneLevels> levels;
  for (int i = 0; i < kRows * 2; ++i) {
    const auto x = static_cast<float>(i);
    levels.push_back({x, 0.5f, -x, 4, 1 + x / 2, 2, 0.25f});
  }
  for (const char* text : {"planes-g8", "planes-g8-fp8", "planes-g8-zeromean", "planes-g8-residual"}) {
    const auto stored = matrix(text, codes, salient, levels);
    stored->check_values("w");
    const auto& planes = stored->spec().base.get<PlanesStorage>();
    const std::vector<float> decoded = stored->decode_all();
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t c = 0; c < kCols; ++c) {
        PlaneLevels l = levels[static_cast<size_t>(r * 2 + c / 8)];
        round_levels(planes, level_scale(planes, 8), l);
        float value[2][4];
        l.values(value);
        const bool is_salient = planes.residual || salient[static_cast<size_t>(c)] != 0;
        EXPECT_EQ(decoded[static_cast<size_t>(r * kCols + c)],
                  value[is_salient ? 1 : 0][codes[static_cast<size_t>(r * kCols + c)]])
            << text << " " << r << " " << c;
      }
    }
    EXPECT_DOUBLE_EQ(stored->nominal_bits(), planes.residual ? 2 : 1.2);
    int64_t bytes = 0;
    for (const TensorPart& part : stored->parts()) bytes += static_cast<int64_t>(part.bytes.size());
    EXPECT_DOUBLE_EQ(stored->true_bits(), 8.0 * static_cast<double>(bytes) / (kRows * kCols));
  }
  // Of 16 rows: two bits in 2 bytes each, 7 fp16 for each row and block; 2 bytes of flags.
  EXPECT_DOUBLE_EQ(matrix("planes-g8", codes, salient, levels)->true_bits(), 8.0 * (16 * (4 + 2 * 14) + 2) / 30);
}

TEST(Planes, LevelsAreRoundedToWhatIsStored) {
  PlaneLevels levels{0.3f, 1.1f, 0.3f, 7.9f, 0.3f, 1.1f, 0.1f}, same = levels;
  const PlanesStorage fp8{.fp8 = true}, zero{.zero_mean = true};
  const float scale = level_scale(fp8, 8);
  round_levels(fp8, scale, levels);
  EXPECT_NEAR(levels.alpha_o, 7.9f, 7.9 / 16);  // 3 bits behind the point
  const PlaneLevels once = levels;
  round_levels(fp8, scale, levels);
  EXPECT_EQ(levels.alpha_o, once.alpha_o);
  round_levels(zero, 1, same);
  EXPECT_EQ(same.mu_c, 0);
  EXPECT_NEAR(same.alpha_1, 1.1f, 0x1p-10);
}

TEST(Planes, RefuseWhatMeansNothing) {
  const std::vector<uint8_t> codes(kRows * kCols), salient(kCols, 0);
  const std::vector<PlaneLevels> levels(kRows * 2, PlaneLevels{.alpha_c = 1});
  const Storage storage = parse_storage("planes-g8");
  const auto& planes = storage.base.get<PlanesStorage>();
  auto bytes = pack_planes(planes, kRows, kCols, codes, salient, levels, {});
  const auto open = [&] { return stored_from_bytes("w", storage, kRows, kCols, bytes); };
  open()->check_values("w");
  bytes[1][1] = std::byte{0x80};
  EXPECT_EQ(testing::message_of(ErrorKind::kUnverified, [&] { open()->check_values("w"); }),
            "w.salient: padding bits are not zero");
  bytes[1][1] = std::byte{0};
  bytes[0][3] = std::byte{1};  // a sign of row 3
  EXPECT_EQ(testing::message_of(ErrorKind::kUnverified, [&] { open()->check_values("w"); }),
            "w.codes: padding is not zero");
  bytes[0][3] = std::byte{0};
  bytes[2][1] = std::byte{0x7c};  // infinity
  EXPECT_THAT(testing::message_of(ErrorKind::kUnverified, [&] { open()->check_values("w"); }),
              HasSubstr("w.levels: [0] is inf"));
  bytes.pop_back();
  EXPECT_THROW(open(), std::exception);
}

// As many columns as a block of any size may ask for: sums with it would overflow.
TEST(PlanesStorage, BlocksWiderThanTheMatrixAreTheMatrix) {
  for (const char* text : {"planes-g9223372036854775807", "codebook2-g9223372036854775807"}) {
    const auto wide = greatest_parts(parse_storage(text), 4, 24);
    std::string narrow(text);
    narrow = narrow.substr(0, narrow.find("-g")) + "-g24";
    const auto same = greatest_parts(parse_storage(narrow), 4, 24);
    ASSERT_EQ(wide.size(), same.size());
    for (size_t i = 0; i < wide.size(); ++i) EXPECT_EQ(wide[i].shape, same[i].shape) << text << wide[i].suffix;
  }
}

}  // namespace
}  // namespace bitloom
