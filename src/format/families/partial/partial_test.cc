#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_data.h"
#include "format/families/partial/partial_storage.h"
#include "format/stored_matrix.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

TEST(PartialStorage, TextRoundTrips) {
  for (const char* text : {"partial0", "partial0.1", "partial0.00005", "partial1"}) {
    EXPECT_EQ(to_string(parse_partial(text)), text);
    EXPECT_EQ(to_string(parse_storage(text)), text);
  }
}

/// [2, 10]: row 0 has weights 1 and 4 in 8 bits, row 1 none.
std::vector<std::vector<std::byte>> parts() {
  std::vector<uint8_t> mask(20), codes = {1, 3, 0, 1, 200, 0, 0, 1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0};
  mask[1] = mask[4] = 1;
  return pack_partial(2, 10, mask, codes, {{0.5f, 2, -1, 0.25f}, {0, 1, 0, 0}});
}

std::shared_ptr<const StoredMatrix> matrix(std::vector<std::vector<std::byte>> bytes) {
  return stored_from_bytes("w", parse_storage("partial0.1"), 2, 10, std::move(bytes));
}

TEST(PartialMatrix, DecodesMaskedWeightsAndSigns) {
  const auto w = matrix(parts());
  w->check_values("w");
  EXPECT_THAT(w->decode_all(), ::testing::ElementsAre(2.5, -0.25, -1.5, 2.5, 49, -1.5, -1.5, 2.5, 2.5, -1.5,  //
                                                      1, -1, 1, -1, 1, -1, 1, -1, 1, -1));
  std::vector<float> second(10);
  w->decode_rows(1, 2, second.data());
  EXPECT_EQ(second, std::vector<float>({1, -1, 1, -1, 1, -1, 1, -1, 1, -1}));
  EXPECT_DOUBLE_EQ(w->nominal_bits(), 1 + 7 * 0.1);
  EXPECT_DOUBLE_EQ(w->true_bits(), 8.0 * (4 + 4 + 2 + 16) / 20);
}

TEST(PartialMatrix, RefusesAndFindsWhatMeansNothing) {
  auto bytes = parts();
  bytes[0][0] |= std::byte{1};  // one weight more in the mask than there are codes
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { matrix(bytes); }),
              HasSubstr("w.codes: shape is [2], the mask needs [3]"));
  bytes = parts();
  bytes[1][1] |= std::byte{0x80};
  EXPECT_EQ(message_of(ErrorKind::kUnverified, [&] { matrix(bytes)->check_values("w"); }),
            "w.signs: padding bits of row 0 are not zero");
  bytes = parts();
  bytes[3][1] = std::byte{0x7c};  // infinity
  EXPECT_EQ(message_of(ErrorKind::kUnverified, [&] { matrix(bytes)->check_values("w"); }),
            "w.scales: row 0 is not finite");
}

}  // namespace
}  // namespace bitloom
