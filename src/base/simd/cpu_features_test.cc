#include "base/simd/cpu_features.h"

#include <gtest/gtest.h>

namespace bitloom {
namespace {

TEST(CpuFeatures, NamesAreFoundAgain) {
  for (const Isa isa : every_isa()) EXPECT_EQ(find_isa(name_of(isa)), isa);
  EXPECT_EQ(find_isa("sse9"), std::nullopt);
}

TEST(CpuFeatures, AMachineThatHasOneHasThoseBeforeIt) {
  EXPECT_TRUE(machine_has(Isa::kPortable));
  for (const Isa isa : every_isa()) EXPECT_EQ(machine_has(isa), isa <= best_isa());
}

}  // namespace
}  // namespace bitloom
