#pragma once
// Products of ggml's blocks with inputs of 8 bits, in AVX-512 with VNNI: 256 columns of a K type at a time, or four
// blocks of 32 columns. Codes come apart as they lie, whole vectors at once, and the input is put in their order
// instead, once for the rows that share it; scales go from the block to registers. For sources with flags of their own.

#include <array>
#include <cassert>
#include <cstring>

#include "kernels/int_dot/x86_avx512.h"

namespace bitloom {
namespace {

inline __m512i load64(const std::byte* p) { return _mm512_loadu_si512(p); }
inline __m128i load16(const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
/// 32 bytes, twice.
inline __m512i load32_twice(const std::byte* p) { return _mm512_broadcast_i64x4(load32(p)); }
inline __m512i join(__m256i low, __m256i high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}
/// `low` where the mask's bits are set, else `high`.
inline __m512i select_bits(__m512i mask, __m512i low, __m512i high) {
  return _mm512_ternarylogic_epi32(mask, low, high, 0xca);
}
inline __m512i bytes_of(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
/// Sixteen integers, signed or not, times a half at p.
template <bool kSigned>
inline __m512 scaled_bytes(__m128i bytes, const std::byte* p) {
  uint16_t half;
  std::memcpy(&half, p, sizeof half);
  const __m512 factor = _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<int16_t>(half)));
  const __m512i wide = kSigned ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes);
  return _mm512_mul_ps(_mm512_cvtepi32_ps(wide), factor);
}

/// A chunk's codes, in vectors of 64 columns, and its scales:
///   F::kColumns, kBytes   of a chunk
///   F::kHalves[v]         columns that the halves of vector v begin at
///   F::codes(p, out)      bytes, F::offset above their levels
///   F::numbers(p, s, m)   of each group a scale, in a lane of its own, and where there are minimums a lane of those,
///                         which F::kMinimumLanes says
template <CodeKind kKind>
struct ChunkOf;

using Halves = std::array<std::array<int, 2>, 4>;
inline constexpr Halves kHalfApart = {{{0, 128}, {32, 160}, {64, 192}, {96, 224}}};
inline constexpr Halves kNextButOne = {{{0, 64}, {32, 96}, {128, 192}, {160, 224}}};
inline constexpr Halves kInOrder = {{{0, 32}, {64, 96}, {128, 160}, {192, 224}}};

template <>
struct ChunkOf<CodeKind::kQ2_K> : Blocks<CodeKind::kQ2_K> {
  static constexpr Halves kHalves = kHalfApart;
  static constexpr __mmask16 kMinimumLanes = 0xffff;
  static void codes(const std::byte* p, __m512i (&out)[4]) {
    const __m512i fours = load64(p + 16), mask = bytes_of(3);
    out[0] = _mm512_and_si512(fours, mask), out[1] = _mm512_and_si512(_mm512_srli_epi16(fours, 2), mask);
    out[2] = _mm512_and_si512(_mm512_srli_epi16(fours, 4), mask);
    out[3] = _mm512_and_si512(_mm512_srli_epi16(fours, 6), mask);
  }
  static void numbers(const std::byte* p, __m512& s, __m512& m) {
    const __m128i pairs = load16(p), mask = _mm_set1_epi8(15);
    s = scaled_bytes<false>(_mm_and_si128(pairs, mask), p + 80);
    m = scaled_bytes<false>(_mm_and_si128(_mm_srli_epi16(pairs, 4), mask), p + 82);
  }
};

template <>
struct ChunkOf<CodeKind::kQ3_K> : Blocks<CodeKind::kQ3_K> {
  static constexpr Halves kHalves = kHalfApart;
  static constexpr __mmask16 kMinimumLanes = 0;
  static void codes(const std::byte* p, __m512i (&out)[4]) {
    const __m512i low = load64(p + 32), two = bytes_of(3), three = bytes_of(7);
    // Bits 0 to 3 of the first half, 4 to 7 of the second.
    const __m512i twice = load32_twice(p), high = _mm512_mask_srli_epi64(twice, 0xf0, twice, 4);
    const auto joined = [&](__m512i lower, __m512i upper) {
      return _mm512_and_si512(select_bits(two, lower, upper), three);
    };
    out[0] = joined(low, _mm512_slli_epi16(high, 2));
    out[1] = joined(_mm512_srli_epi16(low, 2), _mm512_slli_epi16(high, 1));
    out[2] = joined(_mm512_srli_epi16(low, 4), high);
    out[3] = joined(_mm512_srli_epi16(low, 6), _mm512_srli_epi16(high, 1));
  }
  static void numbers(const std::byte* p, __m512& s, __m512&) {
    int64_t nibbles;
    int32_t pairs;
    std::memcpy(&nibbles, p + 96, sizeof nibbles), std::memcpy(&pairs, p + 104, sizeof pairs);
    const __m128i low = _mm_srlv_epi64(_mm_set1_epi64x(nibbles), _mm_set_epi64x(4, 0));
    const __m128i high = _mm_slli_epi16(_mm_srlv_epi32(_mm_set1_epi32(pairs), _mm_set_epi32(6, 4, 2, 0)), 4);
    const __m128i six = _mm_ternarylogic_epi32(_mm_set1_epi8(15), low, high, 0xca);
    const __m128i level = _mm_sub_epi8(_mm_and_si128(six, _mm_set1_epi8(63)), _mm_set1_epi8(32));
    s = scaled_bytes<true>(level, p + 108);
  }
};

/// Eight scales and eight minimums of six bits; d and dmin before them.
inline __m512 six_bit_numbers(const std::byte* p) {
  const __m128i abc = load16(p + 4);  // and what follows
  // Low fours of scales and minimums lie in a and b; of the others four bits in c, two above the low fours'.
  const __m128i apart = _mm_srlv_epi32(_mm_shuffle_epi32(abc, 0x98), _mm_set_epi32(4, 0, 0, 0));  // a c b c
  const __m128i above = _mm_srli_epi32(_mm_shuffle_epi32(abc, 0x50), 2);                          // a a b b
  const __m128i lower = _mm_and_si128(apart, _mm_set_epi32(0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f));
  const __m128i upper = _mm_and_si128(above, _mm_set_epi32(0x30303030, 0, 0x30303030, 0));
  const __m512 codes = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_or_si128(lower, upper)));
  int32_t halves;
  std::memcpy(&halves, p, sizeof halves);
  const __m512 both = _mm512_cvtph_ps(_mm256_set1_epi32(halves));
  return _mm512_mul_ps(codes, _mm512_permutexvar_ps(_mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0), both));
}

template <>
struct ChunkOf<CodeKind::kQ4_K> : Blocks<CodeKind::kQ4_K> {
  static constexpr Halves kHalves = kNextButOne;
  static constexpr __mmask16 kMinimumLanes = 0xff00;
  static void codes(const std::byte* p, __m512i (&out)[4]) {
    const __m512i mask = bytes_of(15);
    for (int i = 0; i < 2; ++i) {
      const __m512i pairs = load64(p + 16 + 64 * i);
      out[2 * i] = _mm512_and_si512(pairs, mask);
      out[2 * i + 1] = _mm512_and_si512(_mm512_srli_epi16(pairs, 4), mask);
    }
  }
  static void numbers(const std::byte* p, __m512& s, __m512& m) { s = m = six_bit_numbers(p); }
};

template <>
struct ChunkOf<CodeKind::kQ5_K> : Blocks<CodeKind::kQ5_K> {
  static constexpr Halves kHalves = kNextButOne;
  static constexpr __mmask16 kMinimumLanes = 0xff00;
  static void codes(const std::byte* p, __m512i (&out)[4]) {
    const __m512i four = bytes_of(15), five = bytes_of(31);
    // Bits of columns 64 further to the same place in the second half.
    const __m512i twice = load32_twice(p + 16), high = _mm512_mask_srli_epi64(twice, 0xf0, twice, 2);
    const auto joined = [&](__m512i lower, __m512i upper) {
      return _mm512_and_si512(select_bits(four, lower, upper), five);
    };
    const __m512i first = load64(p + 48), second = load64(p + 112);
    out[0] = joined(first, _mm512_slli_epi16(high, 4));
    out[1] = joined(_mm512_srli_epi16(first, 4), _mm512_slli_epi16(high, 3));
    out[2] = joined(second, high);
    out[3] = joined(_mm512_srli_epi16(second, 4), _mm512_srli_epi16(high, 1));
  }
  static void numbers(const std::byte* p, __m512& s, __m512& m) { s = m = six_bit_numbers(p); }
};

template <>
struct ChunkOf<CodeKind::kQ6_K> : Blocks<CodeKind::kQ6_K> {
  static constexpr Halves kHalves = kInOrder;
  static constexpr __mmask16 kMinimumLanes = 0;
  static void codes(const std::byte* p, __m512i (&out)[4]) {
    const __m512i four = bytes_of(15), six = bytes_of(63);
    const __m512i up = _mm512_set_epi64(2, 2, 2, 2, 4, 4, 4, 4), down = _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0);
    const auto joined = [&](__m512i lower, __m512i upper) {
      return _mm512_and_si512(select_bits(four, lower, upper), six);
    };
    for (int i = 0; i < 2; ++i) {
      const __m512i low = load64(p + 64 * i), high = load32_twice(p + 128 + 32 * i);
      out[2 * i] = joined(low, _mm512_sllv_epi64(high, up));
      out[2 * i + 1] = joined(_mm512_srli_epi16(low, 4), _mm512_srlv_epi64(high, down));
    }
  }
  static void numbers(const std::byte* p, __m512& s, __m512&) { s = scaled_bytes<true>(load16(p + 192), p + 208); }
};

/// y of rows of whole blocks of 256 columns, of a call's first to its last, eight at a time, a token after the other.
/// Every row's sum runs in the same order whatever the rows and tokens beside it.
template <CodeKind kKind>
class SuperBlockLoop {
 public:
  explicit SuperBlockLoop(const IntDotCall& call) : call_(call), w_(call.w) {
    assert(w_.cols % kColumns == 0);
    const int64_t together = kRowsTogether * w_.row_bytes;
    ahead_ = (kAhead + together - 1) / together * together;
    soon_ = together <= kSoon ? together : kSoonOfWideRows;
    for (int v = 0; v < 4; ++v) places_[v] = _mm512_load_si512(kPlaces[static_cast<size_t>(v)].data());
  }

  void run() const {
    for (int64_t r = call_.first; r < call_.last; r += kRowsTogether) {
      const std::byte* rows[kRowsTogether];
      for (int64_t i = 0; i < kRowsTogether; ++i) rows[i] = row_of(w_, std::min(r + i, call_.last - 1)).codes;
      for (int64_t t = 0; t < call_.tokens; ++t) add_rows(rows, r, t);
    }
  }

 private:
  using F = ChunkOf<kKind>;
  static constexpr int64_t kColumns = 256, kGroups = kColumns / F::kGroup;

  /// Lane i of vector v has columns of this group.
  static constexpr std::array<std::array<int32_t, 16>, 4> kPlaces = [] {
    std::array<std::array<int32_t, 16>, 4> places{};
    for (size_t v = 0; v < 4; ++v) {
      for (size_t i = 0; i < 16; ++i) {
        places[v][i] = static_cast<int32_t>((F::kHalves[v][i / 8] + static_cast<int>(i % 8) * 4) / F::kGroup);
      }
    }
    return places;
  }();

  /// The input of a chunk, as its codes lie.
  struct Input {
    __m512i digits[4], starts[4];  // starts: minus the offset times the sums of digits
    __m512 scales[4], minus_sums;  // of groups, where there are minimums
  };
  void order_input(int64_t t, int64_t column, Input& in) const {
    const int8_t* digits = call_.rounded.digits + t * call_.rounded.stride + column;
    const int64_t lane = (t * call_.rounded.stride + column) / 4;
    for (size_t v = 0; v < 4; ++v) {
      const int low = F::kHalves[v][0], high = F::kHalves[v][1];
      const auto both = [&](const auto* p, int columns) {  // that share one of p
        const auto* at = reinterpret_cast<const std::byte*>(p + low / columns);
        return join(load32(at), load32(reinterpret_cast<const std::byte*>(p + high / columns)));
      };
      in.digits[v] = both(digits, 1);
      in.scales[v] = _mm512_castsi512_ps(both(call_.rounded.scales + lane, 4));
      if constexpr (F::offset != 0) {
        in.starts[v] = _mm512_mullo_epi32(both(call_.rounded.high_sums + lane, 4), _mm512_set1_epi32(-F::offset));
      }
    }
    if constexpr (F::kMinimumLanes != 0) {
      const float* sums = call_.group_sums + t * (w_.cols / F::kGroup) + column / F::kGroup;
      in.minus_sums = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_maskz_expandloadu_ps(F::kMinimumLanes, sums));
    }
  }

  [[gnu::noinline]] void add_rows(const std::byte* const (&rows)[kRowsTogether], int64_t r, int64_t t) const {
    __m512 total[kRowsTogether];
    for (__m512& sum : total) sum = _mm512_setzero_ps();
    for (int64_t column = 0, at = 0; column < w_.cols; column += kColumns, at += F::kBlockBytes) {
      Input in;
      order_input(t, column, in);
#pragma GCC unroll 2
      for (int i = 0; i < kRowsTogether; ++i) total[i] = add_block(rows[i] + at, in, total[i]);
    }
    const __m256 sums = _mm256_mul_ps(_mm256_set1_ps(w_.factor), Avx512::sums(total));
    const auto ours = static_cast<__mmask8>((1 << std::min<int64_t>(kRowsTogether, call_.last - r)) - 1);
    _mm256_mask_storeu_ps(call_.y + t * call_.y_stride + r, ours, sums);
  }

  __m512 add_block(const std::byte* p, const Input& in, __m512 total) const {
    const auto* next = reinterpret_cast<const char*>(p);
#pragma GCC unroll 4
    for (int64_t line = 0; line < F::kBlockBytes; line += 64) {
      _mm_prefetch(next + ahead_ + line, _MM_HINT_T1), _mm_prefetch(next + soon_ + line, _MM_HINT_T0);
    }
    __m512i codes[4];
    __m512 scales, minimums;
    F::codes(p, codes);
    F::numbers(p, scales, minimums);
    if constexpr (F::kMinimumLanes != 0) total = _mm512_fmadd_ps(minimums, in.minus_sums, total);
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const __m512i start = F::offset == 0 ? _mm512_setzero_si512() : in.starts[v];
      const __m512 product = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(start, codes[v], in.digits[v]));
      const __m512 scale = _mm512_permutexvar_ps(places_[v], scales);
      total = _mm512_fmadd_ps(_mm512_mul_ps(product, in.scales[v]), scale, total);
    }
    return total;
  }

  const IntDotCall& call_;
  const IntRows& w_;
  int64_t ahead_, soon_;
  __m512i places_[4];
};

}  // namespace
}  // namespace bitloom
