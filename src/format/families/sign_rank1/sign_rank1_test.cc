#include "format/families/sign_rank1/sign_rank1.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_data.h"
#include "format/stored_matrix.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

std::vector<std::vector<std::byte>> parts() { return pack_sign_rank1({1, 0, 1, 0, 0, 1}, {2, 0.5f}, {1, 4, 0.25f}); }

std::shared_ptr<const StoredMatrix> matrix(std::vector<std::vector<std::byte>> bytes) {
  return stored_from_bytes("w", parse_storage("sign_rank1"), 2, 3, std::move(bytes));
}

TEST(SignRank1, DecodesSignsTimesBothScales) {
  const auto w = matrix(parts());
  w->check_values("w");
  EXPECT_THAT(w->decode_all(), ElementsAre(2, -8, 0.5f, -0.5f, -2, 0.125f));
  EXPECT_EQ(w->storage(), "sign_rank1");
  EXPECT_DOUBLE_EQ(w->true_bits(), 8.0 * (2 + 4 + 6) / 6);
}

// 1.0073 bits for 4096 x 4096 in the paper's table of sizes, which counts the scales as parameters too.
TEST(SignRank1, NominalBitsAreThePapers) {
  const double bits = nominal_bits(parse_storage("sign_rank1"), 4096, 4096);
  EXPECT_DOUBLE_EQ(bits, 1 + 32.0 / 4096);
  EXPECT_NEAR(bits * 4096 * 4096 / (4096.0 * 4096 + 2 * 4096), 1.0073, 5e-5);
}

TEST(SignRank1, RefusesAndFindsWhatMeansNothing) {
  EXPECT_THAT(message_of(ErrorKind::kUsage, [] { parse_storage("sign_rank1-g64"); }), HasSubstr("\"-g64\""));
  auto bytes = parts();
  bytes[0][1] |= std::byte{0x08};
  EXPECT_EQ(message_of(ErrorKind::kUnverified, [&] { matrix(bytes)->check_values("w"); }),
            "w.signs: padding bits of row 1 are not zero");
  bytes = parts();
  bytes[2][3] = std::byte{0x7c};
  EXPECT_THAT(message_of(ErrorKind::kUnverified, [&] { matrix(bytes)->check_values("w"); }),
              HasSubstr("w.col_scales: [1] is inf"));
}

}  // namespace
}  // namespace bitloom
