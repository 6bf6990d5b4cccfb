#include "format/storage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_data.h"
#include "format/families/codebook/codebook_storage.h"
#include "packing/column_layout.h"

namespace bitloom {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

std::string message(const std::string& text) {
  return testing::message_of(ErrorKind::kUsage, [&] { parse_storage(text); });
}

TEST(Storage, TextRoundTrips) {
  for (const char* text : {"int4-g128", "mxfp4", "table[-1000;0;20000000]-row", "codebook3-col", "codebook2.5-col",
                           "codebook2.125-col", "codebook8-row", "codebook1-g32", "codebook4-tensor",
                           "codebook3-col+outliers0.001", "int4-g128+outliers0.005", "nf4-g64+outliers1e-06"}) {
    EXPECT_EQ(to_string(parse_storage(text)), text);
    EXPECT_EQ(parse_storage(to_string(parse_storage(text))), parse_storage(text));
  }
  EXPECT_EQ(to_string(parse_storage("codebook3")), "codebook3-col");
}

TEST(Storage, MessagesNameThePartAndTheAllowedOnes) {
  EXPECT_THAT(message("codebook9-col"), HasSubstr("codes of 1 to 8 bits"));
  EXPECT_THAT(message("codebook0.5"), HasSubstr("codes of 1 to 8 bits"));
  EXPECT_THAT(message("codebook2.12345-col"), HasSubstr("three places"));
  EXPECT_THAT(message("codebook2.5-row"), HasSubstr("only columns with tables of their own may differ in width"));
  EXPECT_THAT(message("codebook3-cols"), HasSubstr("did you mean 'col'?"));
  EXPECT_THAT(message("codebook3-col-row"), HasSubstr("repeats or contradicts"));
  EXPECT_THAT(message("int4-g128+outliers2"), HasSubstr("a share above 0 up to 0.5"));
  EXPECT_THAT(message("int4-g128+lowrank8"),
              AllOf(HasSubstr("should be +lowrankR-STORAGE"), HasSubstr("as in +lowrank8-int8-row")));
  EXPECT_THAT(message("codebook"), HasSubstr("unknown format \"codebook\""));
  // Without bits of exponent.
  EXPECT_THAT(message("e0m3-g32"), AllOf(HasSubstr("'e0m3' has no exponent bits"), HasSubstr("int4-narrow"),
                                         HasSubstr("(in \"e0m3-g32\")")));
  EXPECT_THAT(message("e2m11-g32"), AllOf(HasSubstr("unknown format \"e2m11\" in \"e2m11-g32\""), HasSubstr("eXmY"),
                                          HasSubstr("did you mean 'e2m1'?")));
}

TEST(Storage, NominalBits) {
  EXPECT_DOUBLE_EQ(nominal_bits(parse_storage("codebook2.5-col"), 64, 64), 2.5);
  EXPECT_DOUBLE_EQ(nominal_bits(parse_storage("codebook3-row"), 64, 64), 3);
  // CLAQ's 3.12 bits: 3 and 16 for each of 0.75 % reserved weights (papers' column-wise page, 3.7).
  EXPECT_NEAR(nominal_bits(parse_storage("codebook3-col+outliers0.0075"), 64, 64), 3.12, 1e-12);
}

/// Names and shapes of a matrix's parts.
std::vector<std::pair<std::string, std::vector<int64_t>>> shapes(const std::string& text, int64_t rows, int64_t cols) {
  std::vector<std::pair<std::string, std::vector<int64_t>>> shapes;
  for (const TensorPart& part : greatest_parts(parse_storage(text), rows, cols)) {
    shapes.emplace_back(part.suffix, part.shape);
  }
  return shapes;
}

// A group longer than a row is the row, so that one recipe serves matrices of any width.
TEST(Storage, GroupsEndWithTheRow) {
  for (const std::string family : {"int4", "int3-asym", "nf4", "codebook2", "planes", "planes-fp8", "affine4"}) {
    for (const int64_t cols : {64, 48}) {
      const std::string row = family + "-g" + std::to_string(cols);
      for (const char* longer : {"-g128", "-g100000"}) {
        EXPECT_EQ(shapes(family + longer, 32, cols), shapes(row, 32, cols)) << family << longer;
      }
      EXPECT_NE(shapes(family + "-g16", 32, cols), shapes(row, 32, cols)) << family;
    }
  }
  for (const char* none : {"int4-g0", "codebook2-g0", "planes-g0", "affine4-g0", "aq2x8-g0", "aq2x8-g100000"}) {
    EXPECT_THAT(message(none), HasSubstr(none));
  }
}

std::vector<std::string> widths(const std::string& text) {
  std::vector<std::string> texts;
  for (const Storage& storage : at_all_widths(parse_storage(text))) texts.push_back(to_string(storage));
  return texts;
}

TEST(Storage, AtAllWidths) {
  EXPECT_THAT(widths("int4-g64-asym"), ElementsAre("int2-g64-asym", "int3-g64-asym", "int4-g64-asym", "int5-g64-asym",
                                                   "int6-g64-asym", "int8-g64-asym"));
  EXPECT_THAT(widths("codebook3-row"), ElementsAre("codebook1-row", "codebook2-row", "codebook3-row", "codebook4-row",
                                                   "codebook5-row", "codebook6-row"));
  EXPECT_THAT(widths("trellis2-l12+frame-in64-out64"),
              AllOf(SizeIs(9), Contains("trellis1-l12+frame-in64-out64"), Contains("trellis4.5-l12+frame-in64-out64")));
  EXPECT_THAT(widths("codebook2-col"), AllOf(SizeIs(11), Contains("codebook2.5-col")));
  EXPECT_THAT(widths("iq4nl-g64"),
              ElementsAre("int2-g64", "int3-g64", "iq4nl-g64", "int5-g64", "int6-g64", "int8-g64"));
  EXPECT_THAT(widths("e2m1-g64"), ElementsAre("e2m1-g64"));
  EXPECT_THAT(widths("mxfp4"), ElementsAre("mxfp4"));
}

/// Any widths with the announced mean fit what is announced.
TEST(Storage, GreatestPartsHoldEveryDistributionOfWidths) {
  for (const int64_t milli : {1000, 1500, 2500, 3000, 7500, 8000}) {
    const CodebookStorage storage{milli, CodebookStorage::Share::kColumn, 0};
    for (const int64_t cols : {1, 2, 7, 40}) {
      const auto most = greatest_parts(storage, 13, cols);
      // As few columns as possible take all bits: the most levels; all alike: the most padding.
      int64_t left = milli * cols / 1000 - cols;
      std::vector<std::byte> few, alike(static_cast<size_t>(cols), static_cast<std::byte>(milli / 1000));
      for (int64_t c = 0; c < cols; ++c) {
        const int64_t bits = 1 + std::min<int64_t>(left, 7);
        left -= bits - 1;
        few.push_back(static_cast<std::byte>(bits));
      }
      for (const auto& widths : {few, alike}) {
        const ColumnLayout layout(widths);
        EXPECT_LE(layout.levels, most[2].shape[0]) << milli << " " << cols;
        EXPECT_LE(layout.tile_bytes, most[1].shape[0]) << milli << " " << cols;
      }
    }
  }
}

TEST(Storage, OutliersNameColumnsIn16Bits) {
  check_storable("w", parse_storage("int4-g128+outliers0.01"), 65536);
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage,
                                  [] { check_storable("w", parse_storage("int4-g128+outliers0.01"), 65537); }),
              HasSubstr("its 65537 columns are too many (at most 65536)"));
}

TEST(Storage, WholeRotationsNeedAMatrix) {
  const Storage storage = parse_storage("int4-g32+frame-infull");
  check_storable("w", storage, 2 * 1023);
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { check_storable("w", storage, 2 * 2051); }),
              AllOf(StartsWith("w: int4-g32+frame-infull: "), HasSubstr("4102"), HasSubstr("2051")));
}

}  // namespace
}  // namespace bitloom
