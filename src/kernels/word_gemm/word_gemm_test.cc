#include "kernels/word_gemm/word_gemm.h"

#include <gtest/gtest.h>

#include "kernels/word_gemm/test_product.h"

namespace bitloom {
namespace {

/// C, with sums of 64 bits.
auto expected_of(const testing::RandomWords& random) {
  auto c = random.c;
  const WordProduct& p = random.product;
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t r = 0; r < kWordStrip; ++r) {
      int64_t sum = 0;
      for (int64_t k = 0; k < kWordDepth; ++k) {
        sum += int64_t{p.a[i * p.a_stride + k]} * p.b[kWordStrip * (k / 2 * 2) + 2 * r + k % 2];
      }
      c[static_cast<size_t>(i * p.c_stride + r)] +=
          p.a_scale[i * p.a_scale_stride] * p.b_scale[r] * static_cast<float>(sum);
    }
  }
  return c;
}

TEST(WordGemm, EveryKernelEqualsTheDefinition) {
  uint32_t seed = 0;
  for (const WordGemmEntry& entry : word_gemm_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const int64_t m : {1, 5, 6, 17}) {
      testing::RandomWords random(m, ++seed);
      const auto expected = expected_of(random);
      entry.kernel(random.product);
      EXPECT_EQ(random.c, expected) << entry.name << " m " << m;
    }
  }
}

TEST(WordGemm, FindsTheBestAllowed) {
  EXPECT_STREQ(find_word_gemm(Isa::kPortable).name, "word_gemm_portable");
  for (const Isa isa : every_isa()) EXPECT_LE(find_word_gemm(isa).isa, isa);
}

}  // namespace
}  // namespace bitloom
