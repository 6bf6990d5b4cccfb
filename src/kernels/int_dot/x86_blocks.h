#pragma once
// ggml's blocks (io/ggml/ggml_types.h has their layouts), 32 columns at a time, and their scales. For sources with
// flags of their own: everything is in an unnamed namespace.
//
//   B::kBlockColumns, kBlockBytes     of a block
//   B::kGroup                         columns that share a scale
//   B::kBits                          of a code
//   B::kWide                          a byte may pass 127
//   B::offset                         what bytes are above their levels
//   B::columns(row, column)           bytes of 32 columns of a row from `column` on, a multiple of 32
//   B::scales(row, g, count, s, m)    scales of groups [g, g + count), whole blocks, and where has_minimums(kind) what
//                                     each group adds to every weight

#include <cstdint>
#include <cstring>

#include "kernels/int_dot/int_dot.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

inline float half_at(const std::byte* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return _cvtsh_ss(bits);
}

inline __m256i load32(const std::byte* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

/// 16 bytes: low nibbles, then high ones.
inline __m256i nibble_halves(const std::byte* p) {
  const __m256i pairs = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_and_si256(_mm256_srlv_epi64(pairs, _mm256_set_epi64x(4, 4, 0, 0)), _mm256_set1_epi8(15));
}

/// Bits [shift, shift + bits) of each of 32 bytes, moved up by `up`.
inline __m256i field(__m256i bytes, int shift, int bits, int up) {
  const __m256i low = _mm256_srl_epi16(bytes, _mm_cvtsi32_si128(shift));
  return _mm256_slli_epi16(_mm256_and_si256(low, _mm256_set1_epi8(static_cast<char>((1 << bits) - 1))), up);
}

/// 16 where the column's bit is set.
inline __m256i fifth_bits(const std::byte* p) {
  int32_t bits;
  std::memcpy(&bits, p, sizeof bits);
  const __m256i byte_of = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
  const __m256i bit_of = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte_of);
  return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit_of), bit_of), _mm256_set1_epi8(16));
}

/// factor times eight bytes, signed or not.
template <bool kSigned>
inline void widen_bytes(__m128i bytes, float factor, float* out) {
  const __m256i wide = kSigned ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
  _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_cvtepi32_ps(wide), _mm256_set1_ps(factor)));
}
template <bool kSigned>
inline void widen_16_bytes(__m128i bytes, float factor, float* out) {
  widen_bytes<kSigned>(bytes, factor, out);
  widen_bytes<kSigned>(_mm_srli_si128(bytes, 8), factor, out + 8);
}

/// Blocks of 32 columns that begin with a half, their scale, and where kMinimum a second one.
template <int64_t kBytes, bool kMinimum>
struct HalfScaled {
  static constexpr int64_t kBlockColumns = 32, kBlockBytes = kBytes, kGroup = 32;
  [[gnu::noinline]] static void scales(const std::byte* row, int64_t first, int64_t count, float* s, float* m) {
    const std::byte* p = row + first * kBytes;
    int64_t g = 0;
    for (; g + 8 <= count; g += 8, p += 8 * kBytes) {
      const __m256i words = _mm256_set_m128i(four_words(p + 4 * kBytes), four_words(p));
      const __m256i low = _mm256_and_si256(words, _mm256_set1_epi32(0xffff)), high = _mm256_srli_epi32(words, 16);
      const __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
      _mm256_storeu_ps(s + g, _mm256_cvtph_ps(_mm256_castsi256_si128(both)));
      if constexpr (kMinimum) _mm256_storeu_ps(m + g, _mm256_cvtph_ps(_mm256_extracti128_si256(both, 1)));
    }
    for (; g < count; ++g, p += kBytes) {
      s[g] = half_at(p);
      if constexpr (kMinimum) m[g] = half_at(p + 2);
    }
  }

 private:
  static int32_t word(const std::byte* p, int64_t block) {
    int32_t bits;
    std::memcpy(&bits, p + block * kBytes, sizeof bits);
    return bits;
  }
  /// Inserted one by one: a list of eight is written to the stack and read back before it is there.
  static __m128i four_words(const std::byte* p) {
    __m128i words = _mm_cvtsi32_si128(word(p, 0));
    words = _mm_insert_epi32(words, word(p, 1), 1);
    words = _mm_insert_epi32(words, word(p, 2), 2);
    return _mm_insert_epi32(words, word(p, 3), 3);
  }
};

/// Blocks of 256 columns.
template <int64_t kBytes, int64_t kGroup_>
struct Super {
  static constexpr int64_t kBlockColumns = 256, kBlockBytes = kBytes, kGroup = kGroup_;
  static const std::byte* block(const std::byte* row, int64_t column) { return row + column / 256 * kBytes; }
  static int sub(int64_t column) { return static_cast<int>(column % 256 / 32); }
};

/// The levels of a table, raised by `offset`.
inline __m256i table_of(const int8_t (&levels)[16], int offset) {
  const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels));
  return _mm256_broadcastsi128_si256(_mm_add_epi8(table, _mm_set1_epi8(static_cast<char>(offset))));
}
constexpr int8_t kIq4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr int8_t kMxfp4Levels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

template <CodeKind kKind>
struct Blocks;

template <>
struct Blocks<CodeKind::kQ8_0> : HalfScaled<34, false> {
  static constexpr int kBits = 8, offset = 128;
  static constexpr bool kWide = true;
  static __m256i columns(const std::byte* row, int64_t column) {
    return _mm256_xor_si256(load32(row + column / 32 * 34 + 2), _mm256_set1_epi8(-128));
  }
};

template <>
struct Blocks<CodeKind::kQ4_0> : HalfScaled<18, false> {
  static constexpr int kBits = 4, offset = 8;
  static constexpr bool kWide = false;
  static __m256i columns(const std::byte* row, int64_t column) { return nibble_halves(row + column / 32 * 18 + 2); }
};

template <>
struct Blocks<CodeKind::kQ4_1> : HalfScaled<20, true> {
  static constexpr int kBits = 4, offset = 0;
  static constexpr bool kWide = false;
  static __m256i columns(const std::byte* row, int64_t column) { return nibble_halves(row + column / 32 * 20 + 4); }
};

template <>
struct Blocks<CodeKind::kQ5_0> : HalfScaled<22, false> {
  static constexpr int kBits = 5, offset = 16;
  static constexpr bool kWide = false;
  static __m256i columns(const std::byte* row, int64_t column) {
    const std::byte* p = row + column / 32 * 22;
    return _mm256_or_si256(nibble_halves(p + 6), fifth_bits(p + 2));
  }
};

template <>
struct Blocks<CodeKind::kQ5_1> : HalfScaled<24, true> {
  static constexpr int kBits = 5, offset = 0;
  static constexpr bool kWide = false;
  static __m256i columns(const std::byte* row, int64_t column) {
    const std::byte* p = row + column / 32 * 24;
    return _mm256_or_si256(nibble_halves(p + 8), fifth_bits(p + 4));
  }
};

template <>
struct Blocks<CodeKind::kIQ4_NL> : HalfScaled<18, false> {
  static constexpr int kBits = 4, offset = 128;
  static constexpr bool kWide = true;
  static __m256i columns(const std::byte* row, int64_t column) {
    return _mm256_shuffle_epi8(table_of(kIq4Levels, offset), nibble_halves(row + column / 32 * 18 + 2));
  }
};

template <>
struct Blocks<CodeKind::kMXFP4> {
  static constexpr int64_t kBlockColumns = 32, kBlockBytes = 17, kGroup = 32;
  static constexpr int kBits = 4, offset = 12;
  static constexpr bool kWide = false;
  static __m256i columns(const std::byte* row, int64_t column) {
    return _mm256_shuffle_epi8(table_of(kMxfp4Levels, offset), nibble_halves(row + column / 32 * 17 + 1));
  }
  /// 2^(e - 128): 2^-128 and 2^-127 are subnormal.
  [[gnu::noinline]] static void scales(const std::byte* row, int64_t first, int64_t count, float* s, float*) {
    for (int64_t g = 0; g < count; ++g) {
      const auto e = std::to_integer<uint32_t>(row[(first + g) * 17]);
      const uint32_t bits = e < 2 ? uint32_t{0x00200000} << e : (e - 1) << 23;
      std::memcpy(s + g, &bits, sizeof bits);
    }
  }
};

template <>
struct Blocks<CodeKind::kQ2_K> : Super<84, 16> {
  static constexpr int kBits = 2, offset = 0;
  static constexpr bool kWide = false;
  static __m256i columns(const std::byte* row, int64_t column) {
    const int k = sub(column);
    return field(load32(block(row, column) + 16 + k / 4 * 32), k % 4 * 2, 2, 0);
  }
  [[gnu::noinline]] static void scales(const std::byte* row, int64_t first, int64_t count, float* s, float* m) {
    const std::byte* p = row + first / 16 * 84;
    for (int64_t g = 0; g < count; g += 16, p += 84) {
      const __m128i pairs = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), mask = _mm_set1_epi8(15);
      widen_16_bytes<false>(_mm_and_si128(pairs, mask), half_at(p + 80), s + g);
      widen_16_bytes<false>(_mm_and_si128(_mm_srli_epi16(pairs, 4), mask), -half_at(p + 82), m + g);
    }
  }
};

template <>
struct Blocks<CodeKind::kQ3_K> : Super<110, 16> {
  static constexpr int kBits = 3, offset = 4;
  static constexpr bool kWide = false;
  static __m256i columns(const std::byte* row, int64_t column) {
    const std::byte* p = block(row, column);
    const int k = sub(column);
    return _mm256_or_si256(field(load32(p + 32 + k / 4 * 32), k % 4 * 2, 2, 0), field(load32(p), k, 1, 2));
  }
  [[gnu::noinline]] static void scales(const std::byte* row, int64_t first, int64_t count, float* s, float*) {
    const std::byte* p = row + first / 16 * 110;
    for (int64_t g = 0; g < count; g += 16, p += 110) {
      int64_t nibbles;
      int32_t pairs;
      std::memcpy(&nibbles, p + 96, sizeof nibbles), std::memcpy(&pairs, p + 104, sizeof pairs);
      const __m128i low = _mm_and_si128(_mm_set_epi64x(nibbles >> 4, nibbles), _mm_set1_epi8(15));
      const __m128i high = _mm_and_si128(_mm_set_epi32(pairs >> 6, pairs >> 4, pairs >> 2, pairs), _mm_set1_epi8(3));
      const __m128i both = _mm_or_si128(low, _mm_slli_epi16(high, 4));
      widen_16_bytes<true>(_mm_sub_epi8(both, _mm_set1_epi8(32)), half_at(p + 108), s + g);
    }
  }
};

/// Eight pairs of six bits in twelve bytes: scales and minimums (ggml_k_quants.cc, SixBitPairs).
inline void widen_six_bit_pairs(const std::byte* p, float d, float minus_dmin, float* s, float* m) {
  uint32_t a, b, c;
  std::memcpy(&a, p, 4), std::memcpy(&b, p + 4, 4), std::memcpy(&c, p + 8, 4);
  const auto join = [](uint32_t low, uint32_t high) { return int64_t(low) | int64_t(high) << 32; };
  const int64_t scales = join(a & 0x3f3f3f3f, (c & 0x0f0f0f0f) | (a >> 6 & 0x03030303) << 4);
  const int64_t minimums = join(b & 0x3f3f3f3f, (c >> 4 & 0x0f0f0f0f) | (b >> 6 & 0x03030303) << 4);
  widen_bytes<false>(_mm_cvtsi64_si128(scales), d, s);
  widen_bytes<false>(_mm_cvtsi64_si128(minimums), minus_dmin, m);
}

template <>
struct Blocks<CodeKind::kQ4_K> : Super<144, 32> {
  static constexpr int kBits = 4, offset = 0;
  static constexpr bool kWide = false;
  static __m256i columns(const std::byte* row, int64_t column) {
    const int k = sub(column);
    return field(load32(block(row, column) + 16 + k / 2 * 32), k % 2 * 4, 4, 0);
  }
  [[gnu::noinline]] static void scales(const std::byte* row, int64_t first, int64_t count, float* s, float* m) {
    const std::byte* p = row + first / 8 * 144;
    for (int64_t g = 0; g < count; g += 8, p += 144) {
      widen_six_bit_pairs(p + 4, half_at(p), -half_at(p + 2), s + g, m + g);
    }
  }
};

template <>
struct Blocks<CodeKind::kQ5_K> : Super<176, 32> {
  static constexpr int kBits = 5, offset = 0;
  static constexpr bool kWide = false;
  static __m256i columns(const std::byte* row, int64_t column) {
    const std::byte* p = block(row, column);
    const int k = sub(column);
    return _mm256_or_si256(field(load32(p + 48 + k / 2 * 32), k % 2 * 4, 4, 0), field(load32(p + 16), k, 1, 4));
  }
  [[gnu::noinline]] static void scales(const std::byte* row, int64_t first, int64_t count, float* s, float* m) {
    const std::byte* p = row + first / 8 * 176;
    for (int64_t g = 0; g < count; g += 8, p += 176) {
      widen_six_bit_pairs(p + 4, half_at(p), -half_at(p + 2), s + g, m + g);
    }
  }
};

template <>
struct Blocks<CodeKind::kQ6_K> : Super<210, 16> {
  static constexpr int kBits = 6, offset = 32;
  static constexpr bool kWide = false;
  static __m256i columns(const std::byte* row, int64_t column) {
    const std::byte* p = block(row, column);
    const int k = sub(column), half = k / 4;
    const __m256i low = field(load32(p + 64 * half + k % 2 * 32), k % 4 / 2 * 4, 4, 0);
    return _mm256_or_si256(low, field(load32(p + 128 + 32 * half), k % 4 * 2, 2, 4));
  }
  [[gnu::noinline]] static void scales(const std::byte* row, int64_t first, int64_t count, float* s, float*) {
    const std::byte* p = row + first / 16 * 210;
    for (int64_t g = 0; g < count; g += 16, p += 210) {
      widen_16_bytes<true>(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 192)), half_at(p + 208), s + g);
    }
  }
};

template <>
struct Blocks<CodeKind::kIQ4_XS> : Super<136, 32> {
  static constexpr int kBits = 4, offset = 128;
  static constexpr bool kWide = true;
  static __m256i columns(const std::byte* row, int64_t column) {
    return _mm256_shuffle_epi8(table_of(kIq4Levels, offset), nibble_halves(block(row, column) + 8 + 16 * sub(column)));
  }
  [[gnu::noinline]] static void scales(const std::byte* row, int64_t first, int64_t count, float* s, float*) {
    const std::byte* p = row + first / 8 * 136;
    for (int64_t g = 0; g < count; g += 8, p += 136) {
      const float d = half_at(p);
      uint16_t high;
      uint32_t low;
      std::memcpy(&high, p + 2, sizeof high), std::memcpy(&low, p + 4, sizeof low);
      for (int j = 0; j < 8; ++j) {
        s[g + j] = d * static_cast<float>(static_cast<int>((low >> 4 * j & 15) | (high >> 2 * j & 3) << 4) - 32);
      }
    }
  }
};

}  // namespace
}  // namespace bitloom
