// Side terms together, on any base.

#include "format/side/side_terms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/test_data.h"
#include "format/test_storage.h"

namespace bitloom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;

TEST(SideTerms, TextRoundTrips) {
  for (const char* text :
       {"int4-g128+order", "int4-g128+lowrank8-int8-row", "codebook2.5-col+order+lowrank4-codebook3-col+outliers0.001",
        "table[-1e+05;0;20000000]-row+lowrank2-table[-1;0;1e+10]-g4+outliers1e-06", "nf4-g64+frame-in512",
        "int4-row+order+lowrank8-int8-row-f32+outliers0.005+frame-in512-out256-seed18446744073709551615-inscales-"
        "outscales",
        "mxfp4+frame-inscales"}) {
    EXPECT_EQ(parse_storage(to_string(parse_storage(text))), parse_storage(text)) << to_string(parse_storage(text));
  }
  EXPECT_EQ(to_string(parse_storage("int4-row+frame-outscales-seed0-out2+outliers0.1+lowrank8-int8+order")),
            "int4-row+order+lowrank8-int8-row+outliers0.1+frame-out2-outscales");
  EXPECT_NE(parse_storage("int4+lowrank8-int8"), parse_storage("int4+lowrank8-int4"));
}

TEST(SideTerms, MessagesNameTheTerm) {
  const auto message = [](const char* text) { return message_of(ErrorKind::kUsage, [&] { parse_storage(text); }); };
  EXPECT_THAT(message("int4+oulier0.1"), AllOf(HasSubstr("unknown side term \"+oulier0.1\" in \"int4+oulier0.1\""),
                                               HasSubstr("+order +lowrankR-STORAGE +outliersS +frame")));
  EXPECT_THAT(message("int4+order+order"), HasSubstr("\"+order\" in \"int4+order+order\" repeats a side term"));
  EXPECT_THAT(message("int4+orders"), HasSubstr("should be +order"));
  for (const char* text : {"int4+lowrank8", "int4+lowrank-int8", "int4+lowrank0-int8", "int4+lowrank70000-int8"}) {
    EXPECT_THAT(message(text), HasSubstr("should be +lowrankR-STORAGE, R a rank from 1 to 65536")) << text;
  }
  EXPECT_THAT(message("int4+lowrank8-imt8"), HasSubstr("unknown format \"imt8\""));
  EXPECT_THAT(message("int4+lowrank8-int8-mse"), HasSubstr("unknown option \"-mse\""));
}

/// Each term alone is tested beside it; here, with a frame of scales alone: W = D_O (order(base) + A B + outliers) D_I.
TEST(SideTerms, ApplyInTheirOrder) {
  for (const std::string base : {"int4-g8", "codebook3-g16", "codebook4-tensor", "int8-row-asym"}) {
    const auto matrix =
        testing::random_stored(base + "+order+lowrank3-int8-row+outliers0.02+frame-inscales-outscales", 24, 40, 5);
    matrix->check_values("w");
    const std::vector<float> stored = testing::base_of(*matrix)->decode_all();
    const std::vector<float> a = testing::factor_of(*matrix, ".low_a")->decode_all();
    const std::vector<float> b = testing::factor_of(*matrix, ".low_b")->decode_all();
    std::vector<uint16_t> order(40);
    std::memcpy(order.data(), matrix->find_part(".order")->bytes.data(), 80);
    std::vector<float> in(40), out(24);
    decode_to_f32(DType::kF16, matrix->find_part(".in_scales")->bytes.data(), 0, 40, in.data());
    decode_to_f32(DType::kF16, matrix->find_part(".out_scales")->bytes.data(), 0, 24, out.data());
    // Outliers alone: the same parts beside a base of zeros.
    const Storage alone = parse_storage("int2-row+outliers0.02");
    std::vector<std::vector<std::byte>> bytes = {std::vector<std::byte>(24 * 10), std::vector<std::byte>(48)};
    for (const char* part : {".outlier_values", ".outlier_columns", ".outlier_starts"}) {
      const auto span = matrix->find_part(part)->bytes;
      bytes.emplace_back(span.begin(), span.end());
    }
    const std::vector<float> outliers = stored_from_bytes("w", alone, 24, 40, bytes)->decode_all();

    const std::vector<float> all = matrix->decode_all();
    for (size_t r = 0; r < 24; ++r) {
      for (size_t i = 0; i < 40; ++i) {
        const size_t c = order[i];
        double sum = double{stored[r * 40 + i]} + outliers[r * 40 + c];
        double magnitude = std::abs(stored[r * 40 + i]) + std::abs(outliers[r * 40 + c]);
        for (size_t k = 0; k < 3; ++k) {
          const double term = double{a[k * 24 + r]} * b[k * 40 + c];
          sum += term, magnitude += std::abs(term);
        }
        const double scale = double{in[c]} * out[r];
        // 3 products, 4 sums, 2 scales: 8 roundings in a row at most.
        ASSERT_NEAR(all[r * 40 + c], sum * scale, 9 * 0x1p-24 * magnitude * scale) << base << " " << r << " " << c;
      }
    }
  }
}

TEST(SideTerms, RotatedSidesContainTheOtherTerms) {
  const std::string terms = "+order+lowrank3-int8-row+outliers0.02", frame = "+frame-in8-out8";
  const Storage storage = parse_storage("int4-g8" + terms + frame);
  const auto bytes = testing::random_parts(storage, 24, 40, 5);
  const auto inner = stored_from_bytes("w", parse_storage("int4-g8" + terms), 24, 40, bytes);
  std::vector<float> want = inner->decode_all();
  const BlockRotation in = in_rotation(storage.side.frame, 40), out = out_rotation(storage.side.frame, 24);
  for (int64_t r = 0; r < 24; ++r) in.rotate_back(want.data() + r * 40, 0, 40, 1);
  out.rotate_back(want.data(), 0, 24, 40);
  EXPECT_EQ(stored_from_bytes("w", storage, 24, 40, bytes)->decode_all(), want);
}

TEST(SideTerms, PartsTravel) {
  const auto matrix =
      testing::random_stored("int4-g8+order+lowrank3-int8-row+outliers0.02+frame-in8-inscales", 24, 40, 5);
  std::vector<TensorPart> shuffled(matrix->parts().rbegin(), matrix->parts().rend());
  const auto again = StoredMatrix::from_parts("w", matrix->spec(), 24, 40, shuffled, matrix);
  EXPECT_EQ(again->decode_all(), matrix->decode_all());
  int64_t bytes = 0;
  for (size_t i = 0; i < matrix->parts().size(); ++i) {
    EXPECT_EQ(again->parts()[i].suffix, matrix->parts()[i].suffix);
    bytes += bytes_of(again->parts()[i]);
  }
  EXPECT_DOUBLE_EQ(again->true_bits(), 8.0 * static_cast<double>(bytes) / (24 * 40));
}

}  // namespace
}  // namespace bitloom
