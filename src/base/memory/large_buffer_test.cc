#include "base/memory/large_buffer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <new>

namespace bitloom {
namespace {

TEST(LargeBuffer, HoldsItsFloatsFromAPageOrALineOn) {
  constexpr size_t kPage = size_t{2} << 20;
  for (const size_t count : {size_t{0}, size_t{1}, size_t{1000}, kPage / 4, kPage / 4 + 1}) {
    const LargeBuffer buffer = make_large_buffer(count);
    const auto address = reinterpret_cast<uintptr_t>(buffer.get());
    EXPECT_EQ(address % (4 * count < kPage ? 64 : kPage), 0u) << count;
    for (size_t i = 0; i < count; ++i) buffer[i] = static_cast<float>(i);
    for (size_t i = 0; i < count; i += 999) EXPECT_EQ(buffer[i], static_cast<float>(i));
  }
}

TEST(LargeBuffer, SaysWhenThereIsNone) {
  EXPECT_THROW(make_large_buffer(std::numeric_limits<size_t>::max() / 16), std::bad_alloc);
}

}  // namespace
}  // namespace bitloom
