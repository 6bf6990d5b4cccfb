#include "format/side/column_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_data.h"
#include "format/test_storage.h"

namespace bitloom {
namespace {

using testing::message_of;

TEST(ColumnOrder, PutsColumnsBack) {
  const Storage storage = parse_storage("int4-g8+order");
  auto bytes = testing::random_parts(storage, 5, 16, 3);
  std::vector<int64_t> order = {15, 0, 2, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
  bytes.back() = pack_column_order(order);
  const auto matrix = stored_from_bytes("w", storage, 5, 16, bytes);
  matrix->check_values("w");
  const std::vector<float> base = testing::base_of(*matrix)->decode_all(), all = matrix->decode_all();
  for (size_t r = 0; r < 5; ++r) {
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(all[r * 16 + static_cast<size_t>(order[i])], base[r * 16 + i]) << r << i;
  }
  EXPECT_EQ(matrix->stored_bytes(), testing::base_of(*matrix)->stored_bytes() + 32);
  EXPECT_EQ(matrix->nominal_bits(), testing::base_of(*matrix)->nominal_bits());
}

TEST(ColumnOrder, MoreThan65536ColumnsTakeFourBytes) {
  const Storage storage = parse_storage("int2-row+order");
  EXPECT_EQ(greatest_parts(storage, 1, 65536).back().dtype, DType::kU16);
  EXPECT_EQ(greatest_parts(storage, 1, 65537).back().dtype, DType::kU32);
  const auto matrix = testing::random_stored("int2-row+order", 1, 65544, 3);
  std::vector<float> base = testing::base_of(*matrix)->decode_all(), all = matrix->decode_all();
  EXPECT_NE(all, base);
  std::sort(base.begin(), base.end()), std::sort(all.begin(), all.end());
  EXPECT_EQ(all, base);
}

TEST(ColumnOrder, RefusesWhatIsNoPermutation) {
  const Storage storage = parse_storage("int4-row+order");
  const auto refusal = [&](size_t at, int value, size_t size) {
    auto bytes = testing::random_parts(storage, 2, 8, 3);
    bytes.back() = pack_column_order({0, 1, 2, 3, 4, 5, 6, 7});
    bytes.back()[at] = static_cast<std::byte>(value);
    bytes.back().resize(size);
    return message_of(ErrorKind::kRefused, [&] { stored_from_bytes("w", storage, 2, 8, bytes); });
  };
  EXPECT_EQ(refusal(4, 8, 16), "w.order: [2] is 8, columns are below 8");
  EXPECT_EQ(refusal(5, 1, 16), "w.order: [2] is 258, columns are below 8");
  EXPECT_EQ(refusal(4, 1, 16), "w.order: [2] is 1 again, each column must stand once");
  EXPECT_EQ(refusal(0, 0, 14), "w.order: shape is [7], order needs [8]");
}

}  // namespace
}  // namespace bitloom
