// A program with one base family more than the library has.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_data.h"
#include "format/families/codebook/codebook_storage.h"
#include "format/families/grid/grid_storage.h"
#include "format/stored_matrix.h"
#include "format/toy_family.h"

namespace bitloom {

/// In place of the library's list (format/families/families.cc).
std::span<const FamilyRow* const> base_families() {
  static constexpr const FamilyRow* kFamilies[] = {&testing::kSignFamily, &kCodebookFamily, &kGridFamily};
  return kFamilies;
}

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using testing::SignStorage;

const std::vector<float> kRows = {1, -2, 3, -4, 5, -5, 5, -5, 5, -0.0f,  // [2, 10]
                                  8, 8,  8, 8,  8, 8,  8, 8,  8, -8};

std::shared_ptr<const StoredMatrix> matrix(const char* text = "sign") {
  return stored_from_bytes("w", parse_storage(text), 2, 10, testing::pack_signs(kRows.data(), 2, 10));
}

TEST(AddedFamily, TextRoundTrips) {
  const Storage storage = parse_storage("sign+outliers0.01");
  ASSERT_NE(storage.base.get_if<SignStorage>(), nullptr);
  EXPECT_EQ(storage.base, BaseStorage(SignStorage{}));
  EXPECT_EQ(to_string(storage), "sign+outliers0.01");
  EXPECT_EQ(storage.base.family().name, "sign");
  std::vector<std::string> others;
  EXPECT_EQ(parse_storage("sign-mse", &others), parse_storage("sign"));
  EXPECT_THAT(others, ElementsAre("mse"));
  EXPECT_THAT(message_of(ErrorKind::kUsage, [] { parse_storage("sign-row"); }), HasSubstr("unknown option \"-row\""));
}

TEST(AddedFamily, TheLibrarysFamiliesStay) {
  EXPECT_EQ(to_string(parse_storage("codebook3")), "codebook3-col");
  EXPECT_NE(parse_storage("int4-g32").base.get_if<GridStorage>(), nullptr);
  EXPECT_EQ(Storage{}, parse_storage("int4"));
}

TEST(AddedFamily, PacksOpensAndDecodes) {
  const auto signs = matrix();
  signs->check_values("w");
  EXPECT_EQ(signs->grid(), nullptr);
  EXPECT_THAT(signs->decode_all(), ElementsAre(3.5, -3.5, 3.5, -3.5, 3.5, -3.5, 3.5, -3.5, 3.5, -3.5,  //
                                               8, 8, 8, 8, 8, 8, 8, 8, 8, -8));
  EXPECT_TRUE(has_fixed_sizes(signs->spec()));
  EXPECT_DOUBLE_EQ(nominal_bits(signs->spec(), 2, 10), 2.6);
  EXPECT_DOUBLE_EQ(signs->nominal_bits(), 2.6);
  EXPECT_DOUBLE_EQ(signs->true_bits(), 8.0 * (2 * 2 + 2 * 2) / 20);
}

TEST(AddedFamily, RefusesAndFindsWhatMeansNothing) {
  auto bytes = testing::pack_signs(kRows.data(), 2, 10);
  bytes[0][1] = std::byte{0x80};
  EXPECT_EQ(message_of(ErrorKind::kUnverified,
                       [&] { stored_from_bytes("w", parse_storage("sign"), 2, 10, bytes)->check_values("w"); }),
            "w.signs: padding bits of row 0 are not zero");
  bytes[1].pop_back();
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { stored_from_bytes("w", parse_storage("sign"), 2, 10, bytes); }),
              HasSubstr("w.magnitudes: shape is [1], sign needs [2]"));
}

}  // namespace
}  // namespace bitloom
