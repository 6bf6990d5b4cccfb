#include "kernels/guarded.h"

#include <gtest/gtest.h>

namespace bitloom::testing {
namespace {

TEST(GuardedDeathTest, AStepBeyondTheLastByteKills) {
  for (const int64_t count : {1, 13, 4096, 5000}) {
    GuardedVector<int8_t> bytes = guarded<int8_t>(count, [] { return int8_t{7}; });
    const volatile int8_t* end = bytes.data() + count;
    EXPECT_EQ(end[-1], 7);
    EXPECT_DEATH((void)end[0], "");
  }
}

TEST(Guarded, ScratchLiesBy64Bytes) {
  for (const int64_t bytes : {1, 64, 1000, 8 << 20}) {
    GuardedVector<std::byte> scratch = guarded_scratch(bytes);
    EXPECT_GE(static_cast<int64_t>(scratch.size()), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(scratch.data()) % 64, 0u) << bytes;
  }
}

}  // namespace
}  // namespace bitloom::testing
