#pragma once
// Q2_K and Q3_K: codes times the integer scales of their sixteen columns are bytes, so that 256 columns share what is
// left. For sources with flags of their own: everything is in an unnamed namespace.

#include "kernels/int_dot/x86_blocks.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

/// By a block's integer scale and a code the panel's byte, 128 + their product: Q2_K's of scales of 0 to 15 and codes
/// of 0 to 3, Q3_K's of scales of -32 to 31 and levels of -4 to 3, negated as 128 fits the bytes only that way.
template <CodeKind kKind>
struct FoldedProducts {
  static constexpr int kScales = kKind == CodeKind::kQ2_K ? 16 : 64;
  alignas(16) uint8_t bytes[kScales][16] = {};
  constexpr FoldedProducts() {
    for (int scale = 0; scale < kScales; ++scale) {
      for (int code = 0; code < 8; ++code) {
        const int product = kKind == CodeKind::kQ2_K ? scale * code : -(scale - 32) * (code - 4);
        bytes[scale][code] = static_cast<uint8_t>(128 + product);
      }
    }
  }
};

template <CodeKind kKind>
struct FoldedColumns {
  static_assert(kKind == CodeKind::kQ2_K || kKind == CodeKind::kQ3_K);

  /// 32 columns of a row, raised by 128.
  static __m256i folded_columns(const std::byte* row, int64_t column) {
    const std::byte* block = Blocks<kKind>::block(row, column);
    const int64_t first = column % 256 / 16;
    const __m256i table = _mm256_inserti128_si256(_mm256_castsi128_si256(products(scale_at(block, first))),
                                                  products(scale_at(block, first + 1)), 1);
    return _mm256_shuffle_epi8(table, Blocks<kKind>::columns(row, column));
  }

  /// What is left of the scale of a block.
  static float block_scale(const std::byte* block) {
    return kKind == CodeKind::kQ2_K ? half_at(block + 80) : -half_at(block + 108);
  }

 private:
  static constexpr FoldedProducts<kKind> kProducts{};
  static __m128i products(int scale) {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(kProducts.bytes[scale]));
  }
  /// Of sixteen columns, raised by 32 in Q3_K.
  static int scale_at(const std::byte* block, int64_t j) {
    const auto field = [block](int64_t byte, int64_t shift, int mask) {
      return std::to_integer<int>(block[byte]) >> shift & mask;
    };
    if constexpr (kKind == CodeKind::kQ2_K) return field(j, 0, 15);
    return field(96 + j % 8, j / 8 * 4, 15) | field(104 + j % 4, j / 4 * 2, 3) << 4;
  }
};

}  // namespace
}  // namespace bitloom
