#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_data.h"
#include "format/families/affine/affine_matrix.h"
#include "format/stored_matrix.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

TEST(Affine, TextRoundTrips) {
  for (const char* text : {"affine4-g64", "affine3-g16-s3x16", "affine2-g128-mixed", "affine1-g8-mixed-s8x256"}) {
    EXPECT_EQ(to_string(parse_storage(text)), text);
  }
  EXPECT_EQ(to_string(parse_storage("affine4")), "affine4-g128");
  EXPECT_EQ(to_string(parse_storage("affine3-s6-g16+outliers0.01")), "affine3-g16-s6x16+outliers0.01");
}

TEST(Affine, RefusesSpellingsThatMeanNothing) {
  const auto said = [](const char* text) { return message_of(ErrorKind::kUsage, [&] { parse_storage(text); }); };
  EXPECT_THAT(said("affine9"), HasSubstr("1 to 8 bits"));
  EXPECT_THAT(said("affine4-g0"), HasSubstr("-gN (columns of a group)"));
  EXPECT_THAT(said("affine4-s9"), HasSubstr("-sBxR"));
  EXPECT_THAT(said("affine4-s3x12"), HasSubstr("a power of two up to 256"));
  EXPECT_THAT(said("affine2-g12-mixed"), HasSubstr("a multiple of 8 columns, not 12"));
  EXPECT_THAT(said("affine2-mixde"), HasSubstr("did you mean"));
}

// SpQR's own count: 3 + (3 + 3) / 16 + 4 * 16 / (16 * 16) (2306.03078, 4.1), beside its outliers; HQQ's 4 + 32 / 64.
TEST(Affine, NominalBitsAreThePapers) {
  EXPECT_DOUBLE_EQ(nominal_bits(parse_storage("affine3-g16-s3x16"), 4096, 4096), 3.625);
  EXPECT_DOUBLE_EQ(nominal_bits(parse_storage("affine4-g64"), 4096, 4096), 4.5);
  EXPECT_DOUBLE_EQ(nominal_bits(parse_storage("affine2-g128-mixed"), 4096, 4096), 2.25);
}

constexpr int64_t kRows = 3, kCols = 20;  // groups of 8, 8 and 4 columns

AffineValues sample(std::vector<uint8_t> widths) {
  AffineValues values;
  values.widths = std::move(widths);
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kCols; ++c) {
      values.codes.push_back(static_cast<uint8_t>((r * 7 + c * 3) % (1 << values.widths[static_cast<size_t>(c / 8)])));
    }
    for (int g = 0; g < 3; ++g) {
      const auto x = static_cast<float>(r * 3 + g);
      values.scales.push_back({0.5f + x, x / 4, static_cast<uint8_t>(x), static_cast<uint8_t>(7 - r)});
    }
  }
  return values;
}

std::shared_ptr<const StoredMatrix> stored(const char* text, const AffineValues& values) {
  const Storage storage = parse_storage(text);
  return stored_from_bytes("w", storage, kRows, kCols,
                           pack_affine(storage.base.get<AffineStorage>(), kRows, kCols, values));
}

void expect_values(const StoredMatrix& matrix, const AffineValues& values) {
  matrix.check_values("w");
  const std::vector<float> decoded = matrix.decode_all();
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kCols; ++c) {
      const AffineScale& s = values.scales[static_cast<size_t>(r * 3 + c / 8)];
      const auto i = static_cast<size_t>(r * kCols + c);
      EXPECT_EQ(decoded[i], s.scale * (static_cast<float>(values.codes[i]) - s.zero)) << r << " " << c;
    }
  }
}

TEST(Affine, DecodesWhatWasPacked) {
  const AffineValues values = sample({3, 3, 3});
  const auto matrix = stored("affine3-g8", values);
  expect_values(*matrix, values);
  // 3 + 3 + 2 bytes of codes and 3 scales and zero points of 2 bytes a row.
  EXPECT_DOUBLE_EQ(matrix->true_bits(), 8.0 * (8 + 12) / kCols);
}

TEST(Affine, WidthsMayDiffer) {
  const AffineValues values = sample({1, 3, 2});
  const auto matrix = stored("affine2-g8-mixed", values);
  expect_values(*matrix, values);
  EXPECT_DOUBLE_EQ(matrix->true_bits(), 8.0 * (3 + 3 * (5 + 12)) / (kRows * kCols));
}

TEST(Affine, ScalesHaveScales) {
  AffineValues values = sample({3, 3, 3});
  for (int i = 0; i < 2 * 3; ++i) {  // rows 0 and 1, row 2
    const auto x = static_cast<float>(i);
    values.seconds.push_back({0.25f + x, 0.5f, -x, 0.125f});
  }
  for (size_t i = 0; i < values.scales.size(); ++i) values.scales[i].scale_code &= 7;
  const auto matrix = stored("affine3-g8-s3x2", values);
  for (size_t i = 0; i < values.scales.size(); ++i) values.seconds[i / 6 * 3 + i % 3].decode(values.scales[i]);
  EXPECT_EQ(values.scales[7].scale, 4.25f + 0.5f * 7);
  EXPECT_EQ(values.scales[7].zero, -4 + 0.125f * 5);
  expect_values(*matrix, values);
  EXPECT_DOUBLE_EQ(matrix->true_bits(), 8.0 * (3 * (8 + 2 + 2) + 2 * 3 * 8) / (kRows * kCols));
}

TEST(Affine, RefusesAndFindsWhatMeansNothing) {
  const Storage storage = parse_storage("affine2-g8-mixed");
  const auto bytes = pack_affine(storage.base.get<AffineStorage>(), kRows, kCols, sample({1, 3, 2}));
  const auto said = [&](ErrorKind kind, size_t part, size_t at, uint8_t value) {
    auto changed = bytes;
    changed[part][at] = static_cast<std::byte>(value);
    return message_of(kind, [&] { stored_from_bytes("w", storage, kRows, kCols, changed)->check_values("w"); });
  };
  EXPECT_THAT(said(ErrorKind::kRefused, 0, 1, 9), HasSubstr("w.widths: [1] is 9, must be 1 to 8"));
  EXPECT_THAT(said(ErrorKind::kRefused, 0, 1, 4), HasSubstr("w.widths: codes of a row take 6 bytes"));
  EXPECT_THAT(said(ErrorKind::kUnverified, 2, 1, 0x7c), HasSubstr("w.scales: [0, 0] is inf"));
  const Storage plain = parse_storage("affine3-g8");
  auto padded = pack_affine(plain.base.get<AffineStorage>(), kRows, kCols, sample({3, 3, 3}));
  padded[0][7] |= std::byte{0x80};
  EXPECT_EQ(message_of(ErrorKind::kUnverified,
                       [&] { stored_from_bytes("w", plain, kRows, kCols, padded)->check_values("w"); }),
            "w.codes: padding bits of [0, 2] are not zero");
}

}  // namespace
}  // namespace bitloom
